import { describe, expect, test } from 'vitest';
import { architecture } from '../../src/checkpoint/architectures.ts';
import { concatenateWeights, viewWeight } from '../../src/checkpoint/byteSource.ts';
import { expectedTensors } from '../../src/checkpoint/expectedTensors.ts';
import { readFloat32 } from '../../src/checkpoint/floats.ts';
import { openClipKey, openClipKeyOf, textKey } from '../../src/checkpoint/keys/textKeys.ts';
import { unetKeyMap, unetLayoutOf } from '../../src/checkpoint/keys/unetKeys.ts';
import { diffusersVaeKey, vaeKeyMap, vaeLayoutOf } from '../../src/checkpoint/keys/vaeKeys.ts';
import { fromSingleFile, vaeFromSingleFile } from '../../src/checkpoint/singleFile.ts';
import { toSingleFile } from '../../src/checkpoint/toSingleFile.ts';
import { floats, userError } from './support.ts';

const sd15 = architecture('sd15');
const sd1Layout = { layersPerBlock: [2, 2, 2, 2], attention: [true, true, true, false] };
const below = (root: string): string[] =>
  [...expectedTensors(sd15).keys()]
    .filter((path) => path.startsWith(`${root}.`))
    .map((path) => path.slice(root.length + 1));

describe('U-Net', () => {
  const { fromLdm, toLdm } = unetKeyMap(sd1Layout);

  test.each([
    ['input_blocks.0.0.weight', 'conv_in.weight'],
    ['time_embed.2.bias', 'time_embedding.linear_2.bias'],
    ['input_blocks.1.0.in_layers.0.weight', 'down_blocks.0.resnets.0.norm1.weight'],
    ['input_blocks.3.0.op.weight', 'down_blocks.0.downsamplers.0.conv.weight'],
    ['input_blocks.4.0.skip_connection.bias', 'down_blocks.1.resnets.0.conv_shortcut.bias'],
    [
      'input_blocks.8.1.transformer_blocks.0.attn2.to_out.0.bias',
      'down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0.bias',
    ],
    ['input_blocks.11.0.emb_layers.1.weight', 'down_blocks.3.resnets.1.time_emb_proj.weight'],
    ['middle_block.1.proj_in.weight', 'mid_block.attentions.0.proj_in.weight'],
    ['middle_block.2.out_layers.3.weight', 'mid_block.resnets.1.conv2.weight'],
    ['output_blocks.2.1.conv.weight', 'up_blocks.0.upsamplers.0.conv.weight'],
    ['output_blocks.5.2.conv.bias', 'up_blocks.1.upsamplers.0.conv.bias'],
    ['output_blocks.11.1.norm.weight', 'up_blocks.3.attentions.2.norm.weight'],
    ['out.2.weight', 'conv_out.weight'],
  ])('%s is %s', (ldm, diffusers) => {
    expect(fromLdm(ldm)).toBe(diffusers);
    expect(toLdm(diffusers)).toBe(ldm);
  });

  test('686 tensors, each there and back under a name of its own; the numbering is read off the names', () => {
    const paths = below('unet');
    const keys = paths.map((path) => toLdm(path)!);
    expect(keys.length).toBe(686);
    expect(new Set(keys).size).toBe(686);
    expect(keys.map(fromLdm)).toEqual(paths);
    expect(unetLayoutOf(keys)).toEqual(sd1Layout);
  });

  test('names that belong to no layer', () => {
    expect(fromLdm('label_emb.0.0.weight')).toBeUndefined();
    expect(fromLdm('input_blocks.1.0.in_layers.1.weight')).toBeUndefined();
    expect(unetLayoutOf([])).toEqual({ layersPerBlock: [0], attention: [false] });
  });
});

describe('VAE', () => {
  const { fromLdm, toLdm } = vaeKeyMap({ blocks: 4, layersPerBlock: 2 });

  test.each([
    ['encoder.down.2.block.1.norm1.weight', 'encoder.down_blocks.2.resnets.1.norm1.weight'],
    ['encoder.down.1.downsample.conv.weight', 'encoder.down_blocks.1.downsamplers.0.conv.weight'],
    [
      'decoder.up.3.block.2.nin_shortcut.weight',
      'decoder.up_blocks.0.resnets.2.conv_shortcut.weight',
    ],
    ['decoder.up.1.upsample.conv.bias', 'decoder.up_blocks.2.upsamplers.0.conv.bias'],
    ['encoder.mid.attn_1.proj_out.weight', 'encoder.mid_block.attentions.0.to_out.0.weight'],
    ['decoder.mid.block_2.conv1.weight', 'decoder.mid_block.resnets.1.conv1.weight'],
    ['decoder.norm_out.bias', 'decoder.conv_norm_out.bias'],
    ['post_quant_conv.weight', 'post_quant_conv.weight'],
  ])('%s is %s', (ldm, diffusers) => {
    expect(fromLdm(ldm)).toBe(diffusers);
    expect(toLdm(diffusers)).toBe(ldm);
  });

  test('248 tensors, each there and back under a name of its own', () => {
    const paths = below('vae');
    const keys = paths.map((path) => toLdm(path)!);
    expect(new Set(keys).size).toBe(248);
    expect(keys.map(fromLdm)).toEqual(paths);
    expect(vaeLayoutOf(keys)).toEqual({ blocks: 4, layersPerBlock: 2 });
    expect(vaeLayoutOf(['encoder.down.9999.block.9999.norm1.weight'])).toEqual({
      blocks: 0,
      layersPerBlock: 0,
    });
  });

  test("diffusers' old names of the attention's layers", () => {
    expect(diffusersVaeKey('encoder.mid_block.attentions.0.query.weight')).toBe(
      'encoder.mid_block.attentions.0.to_q.weight',
    );
    expect(diffusersVaeKey('decoder.mid_block.attentions.0.proj_attn.bias')).toBe(
      'decoder.mid_block.attentions.0.to_out.0.bias',
    );
    expect(diffusersVaeKey('encoder.mid_block.attentions.0.to_k.bias')).toBe(
      'encoder.mid_block.attentions.0.to_k.bias',
    );
    expect(diffusersVaeKey('loss.logvar')).toBeUndefined();
  });

  test('a VAE that stands alone, in three spellings', () => {
    const one = floats([1], [1]);
    const names = (keys: string[]): string[] => [
      ...vaeFromSingleFile(new Map(keys.map((key) => [key, one]))).keys(),
    ];
    expect(names(['first_stage_model.encoder.conv_in.weight', 'betas'])).toEqual([
      'vae.encoder.conv_in.weight',
    ]);
    expect(names(['encoder.down.0.block.0.norm1.weight', 'loss.logvar'])).toEqual([
      'vae.encoder.down_blocks.0.resnets.0.norm1.weight',
    ]);
    expect(
      names(['encoder.down_blocks.0.resnets.0.norm1.weight', 'encoder.conv_norm_out.bias']),
    ).toEqual([
      'vae.encoder.down_blocks.0.resnets.0.norm1.weight',
      'vae.encoder.conv_norm_out.bias',
    ]);
  });
});

describe('text encoder', () => {
  test.each([
    ['text_model.encoder.layers.3.mlp.fc1.weight', 'text_model.encoder.layers.3.mlp.fc1.weight'],
    ['encoder.layers.3.mlp.fc1.weight', 'text_model.encoder.layers.3.mlp.fc1.weight'],
    ['final_layer_norm.bias', 'text_model.final_layer_norm.bias'],
    ['text_model.embeddings.position_ids', undefined],
    ['text_projection.weight', undefined],
    ['vision_model.encoder.layers.0.mlp.fc1.weight', undefined],
  ])('%s is %s', (key, path) => {
    expect(textKey(key)).toBe(path);
  });

  test('OpenCLIP there and back', () => {
    for (const path of [...expectedTensors({ textEncoder: sd15.textEncoder }).keys()].map((name) =>
      name.slice('text_encoder.'.length),
    )) {
      const target = openClipKey(openClipKeyOf(path))!;
      expect(target.kind === 'one' ? [target.path] : target.paths).toContain(path);
    }
    expect(openClipKeyOf('text_model.encoder.layers.7.self_attn.k_proj.bias')).toBe(
      'transformer.resblocks.7.attn.in_proj_bias',
    );
    expect(openClipKey('text_projection')).toBeUndefined();
    expect(openClipKey('attn_mask')).toBeUndefined();
  });
});

describe('views of the same bytes', () => {
  test('parts and joins', async () => {
    const whole = floats([6, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const parts = [0, 1, 2].map((i) => viewWeight(whole, [2, 2], 4 * i));
    expect([...readFloat32(parts[1]!)]).toEqual([4, 5, 6, 7]);
    const joined = concatenateWeights(parts);
    expect(joined.shape).toEqual([6, 2]);
    expect([...readFloat32(joined)]).toEqual([...readFloat32(whole)]);
    expect([...readFloat32(viewWeight(viewWeight(joined, [2, 2], 4), [2], 1))]).toEqual([5, 6]);
    expect(
      await userError(() => concatenateWeights([parts[0]!, floats([1, 3], [1, 2, 3])])),
    ).toContain('parts of one tensor differ');
  });
});

describe('files of another kind', () => {
  test.each([
    [
      ['conditioner.embedders.0.transformer.x', 'model.diffusion_model.input_blocks.0.0.weight'],
      'an SDXL checkpoint',
    ],
    [['control_model.input_blocks.0.0.weight'], 'a ControlNet'],
    [['model.diffusion_model.joint_blocks.0.x'], 'SD3 or FLUX'],
    [
      ['model.diffusion_model.input_blocks.0.0.weight', 'first_stage_model.encoder.conv_in.weight'],
      'without its text encoder',
    ],
    [
      [
        'model.diffusion_model.input_blocks.0.0.weight',
        'cond_stage_model.transformer.text_model.x',
      ],
      'without their VAE',
    ],
    [['lora_unet_x.alpha'], 'a LoRA'],
    [['unet.x.lora_A.weight'], 'a LoRA'],
    [['first_stage_model.encoder.conv_in.weight'], 'a VAE alone'],
    [['down_blocks.0.resnets.0.conv1.weight'], 'a U-Net alone'],
    [['text_model.final_layer_norm.weight'], 'a text encoder alone'],
    [
      ['x', 'y'],
      'something else, not a Stable Diffusion 1 or 2 checkpoint: it has no tensor below model.diffusion_model., but x, y',
    ],
    [[], 'none at all'],
  ])('%j: %s', async (keys, message) => {
    const said = await userError(() =>
      fromSingleFile(new Map(keys.map((key) => [key, floats([1], [1])])), 'file.safetensors'),
    );
    expect(said).toContain('file.safetensors: is');
    expect(said).toContain(message);
  });

  test('a tensor that has no place in a single file', async () => {
    expect(
      await userError(() => toSingleFile(new Map([['unet.fuser.weight', floats([1], [1])]]), sd15)),
    ).toContain('tensor unet.fuser.weight has no place');
    expect(
      await userError(() => toSingleFile(new Map([['lora.x', floats([1], [1])]]), sd15)),
    ).toContain('tensor lora.x has no place');
  });
});
