import { cpSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Weight } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { architecture } from '../../src/checkpoint/architectures.ts';
import { expectedTensors } from '../../src/checkpoint/expectedTensors.ts';
import { randomWeights } from '../../src/checkpoint/randomWeights.ts';
import { openCheckpoint } from '../../src/node/openCheckpoint.ts';
import { openSafetensors, writeSafetensors } from '../../src/node/safetensorsFile.ts';
import { writeTorch } from '../../src/node/torchWriter.ts';
import { fixture, floats, golden, json, lines, temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();
const path = (name: string): string => join(folder, name);
const tiny = golden('tiny-sd');

describe('folder in diffusers layout', () => {
  test('the golden model: every tensor, every setting, its tokenizer', async () => {
    const checkpoint = await openCheckpoint(tiny);
    expect(checkpoint).toMatchObject({
      kind: 'diffusers',
      path: tiny,
      tokenizerFolder: join(tiny, 'tokenizer'),
      notes: [],
    });
    const { unet, textEncoder, schedule } = architecture('tiny');
    expect(checkpoint.unet).toEqual(unet);
    expect(checkpoint.textEncoder).toEqual(textEncoder);
    expect(checkpoint.schedule).toEqual(schedule);
    expect([...checkpoint.weights.keys()]).toEqual([...expectedTensors(checkpoint).keys()]);
    const stored = openSafetensors(
      join(tiny, 'unet/diffusion_pytorch_model.safetensors'),
    ).tensors.get('mid_block.attentions.0.proj_in.weight')!;
    expect(checkpoint.weights.get('unet.mid_block.attentions.0.proj_in.weight')!.file).toEqual(
      stored.file,
    );
    expect(Object.isFrozen(checkpoint) && Object.isFrozen(checkpoint.unet.blockOutChannels)).toBe(
      true,
    );
  });

  const copyOfTiny = (name: string): string => {
    cpSync(tiny, path(name), { recursive: true });
    return path(name);
  };

  test('half-precision variants, shards, PyTorch files, old and new names', async () => {
    const copy = copyOfTiny('variants');
    const reference = await openCheckpoint(tiny);
    const part = (name: string): Map<string, Weight> =>
      new Map(
        [...reference.weights]
          .filter(([key]) => key.startsWith(`${name}.`))
          .map(([key, weight]) => [key.slice(name.length + 1), weight]),
      );

    renameSync(
      join(copy, 'unet/diffusion_pytorch_model.safetensors'),
      join(copy, 'unet/diffusion_pytorch_model.fp16.safetensors'),
    );

    const vae = [...part('vae')].map(
      ([key, weight]) =>
        [
          key
            .replace('.to_q.', '.query.')
            .replace('.to_k.', '.key.')
            .replace('.to_v.', '.value.')
            .replace('.to_out.0.', '.proj_attn.'),
          weight,
        ] as const,
    );
    rmSync(join(copy, 'vae/diffusion_pytorch_model.safetensors'));
    await writeTorch(join(copy, 'vae/diffusion_pytorch_model.bin'), new Map(vae));

    const text = [...part('text_encoder')].map(
      ([key, weight]) => [key.replace('text_model.', ''), weight] as const,
    );
    rmSync(join(copy, 'text_encoder/model.safetensors'));
    const half = Math.floor(text.length / 2);
    const shards = {
      'model-00001-of-00002.safetensors': text.slice(0, half),
      'model-00002-of-00002.safetensors': text.slice(half),
    };
    for (const [name, tensors] of Object.entries(shards))
      await writeSafetensors(join(copy, 'text_encoder', name), new Map(tensors));
    const weightMap = Object.fromEntries(
      Object.entries(shards).flatMap(([name, tensors]) => tensors.map(([key]) => [key, name])),
    );
    const index = join(copy, 'text_encoder/model.safetensors.index.json');
    writeFileSync(index, JSON.stringify({ weight_map: weightMap }));

    const checkpoint = await openCheckpoint(copy);
    expect(lines(checkpoint.weights)).toEqual(lines(reference.weights));
    expect(checkpoint.notes).toEqual([
      expect.stringContaining('only the half-precision variant is there'),
    ]);

    writeFileSync(
      index,
      JSON.stringify({
        weight_map: { ...weightMap, 'final_layer_norm.bias': '../../secret.safetensors' },
      }),
    );
    expect(await userError(() => openCheckpoint(copy))).toContain(
      '"../../secret.safetensors" is no name of a file beside it',
    );
    writeFileSync(
      index,
      JSON.stringify({
        weight_map: { ...weightMap, 'more.bias': 'model-00001-of-00002.safetensors' },
      }),
    );
    expect(await userError(() => openCheckpoint(copy))).toContain(
      'tensor more.bias is not in "model-00001-of-00002.safetensors"',
    );
  });

  test('prediction type as asked for; running averages in unet_ema', async () => {
    const { schedule, notes } = await openCheckpoint(tiny, {
      predictionType: 'v_prediction',
      config: tiny,
    });
    expect(schedule.predictionType).toBe('v_prediction');
    expect(notes).toEqual([
      expect.stringContaining('passed over'),
      'prediction type v_prediction: as asked for',
    ]);
    expect(await userError(() => openCheckpoint(tiny, { emaWeights: true }))).toContain(
      'no folder unet_ema',
    );
    const copy = copyOfTiny('ema');
    renameSync(join(copy, 'unet'), join(copy, 'unet_ema'));
    expect((await openCheckpoint(copy, { emaWeights: true })).weights.size).toBe(964);
  });

  test('broken folders name what is wrong', async () => {
    const copy = copyOfTiny('broken');
    const unet = join(copy, 'unet/diffusion_pytorch_model.safetensors');
    const { tensors } = openSafetensors(join(tiny, 'unet/diffusion_pytorch_model.safetensors'));
    const change = async (edit: (tensors: Map<string, Weight>) => void): Promise<string> => {
      const changed = new Map(tensors);
      edit(changed);
      await writeSafetensors(unet, changed, { force: true });
      return await userError(() => openCheckpoint(copy));
    };
    expect(await change((t) => t.delete('conv_in.bias'))).toContain(
      'unet.conv_in.bias [16] is missing',
    );
    expect(await change((t) => t.set('conv_in.bias', floats([3], [1, 2, 3])))).toContain(
      'unet.conv_in.bias has shape [3], [16] is expected',
    );
    expect(
      await change((t) =>
        t.set('conv_in.bias', { ...floats([16], Array(16).fill(0)), dtype: 'i32' }),
      ),
    ).toContain('unet.conv_in.bias is stored as I32; floating-point numbers are expected');
    expect(await change((t) => t.set('fuser.weight', floats([1], [1])))).toContain(
      'unet.fuser.weight is not known: the network is of another kind',
    );
    expect(await change((t) => t.clear())).toMatch(/is missing\n {2}and 676 more$/);
    truncateSync(unet, 100);
    expect(await userError(() => openCheckpoint(copy))).toContain(unet);
    rmSync(unet);
    expect(await userError(() => openCheckpoint(copy))).toContain(
      'diffusion_pytorch_model.safetensors is missing; there are config.json',
    );
    writeFileSync(join(copy, 'unet/config.json'), '{');
    expect(await userError(() => openCheckpoint(copy))).toContain('unet/config.json: is not JSON');
    rmSync(join(copy, 'unet/config.json'));
    expect(await userError(() => openCheckpoint(copy))).toContain('unet/config.json is missing');
    writeFileSync(join(copy, 'model_index.json'), '{"_class_name":"StableDiffusionXLPipeline"}');
    expect(await userError(() => openCheckpoint(copy))).toContain(
      '"StableDiffusionXLPipeline" is not supported',
    );
    expect(await userError(() => openCheckpoint(path('nowhere')))).toContain(
      'no such file or folder',
    );
  });

  test('a text encoder of another width than the U-Net takes', async () => {
    const copy = copyOfTiny('widths');
    cpSync(fixture('sd1-odd.json'), join(copy, 'odd.json'));
    const configs = architecture('tiny');
    const text = { ...configs.textEncoder, hiddenSize: 16, intermediateSize: 8 };
    const weights = randomWeights(expectedTensors({ textEncoder: text }), 1);
    await writeSafetensors(
      join(copy, 'text_encoder/model.safetensors'),
      new Map([...weights].map(([key, weight]) => [key.slice('text_encoder.'.length), weight])),
      { force: true },
    );
    writeFileSync(
      join(copy, 'text_encoder/config.json'),
      JSON.stringify({
        ...json<object>(join(tiny, 'text_encoder/config.json')),
        hidden_size: 16,
        intermediate_size: 8,
      }),
    );
    expect(await userError(() => openCheckpoint(copy))).toContain(
      'takes text states 12 wide, its text encoder gives 16',
    );
  });
});

describe('another VAE', () => {
  test.each([
    golden('files/vae-only-legacy.ckpt'),
    golden('files/model-f16.ckpt'),
    tiny,
    join(tiny, 'vae'),
  ])('%s', async (vae) => {
    const checkpoint = await openCheckpoint(tiny, { vae });
    expect(checkpoint.notes).toEqual([`VAE: ${vae}`]);
    expect([...checkpoint.weights.keys()].sort()).toEqual(
      [...expectedTensors(checkpoint).keys()].sort(),
    );
    expect(checkpoint.weights.get('vae.encoder.mid_block.attentions.0.to_q.weight')!.shape).toEqual(
      [16, 16],
    );
  });
  test('one that does not fit, and what is none', async () => {
    expect(await userError(() => openCheckpoint(tiny, { vae: fixture('dtypes.pt') }))).toContain(
      'holds no VAE',
    );
    expect(await userError(() => openCheckpoint(tiny, { vae: folder }))).toContain(
      'config.json is missing',
    );
    const eight = { ...architecture('tiny').vae, latentChannels: 8 };
    const weights = randomWeights(expectedTensors({ vae: eight }), 1);
    await writeSafetensors(
      path('eight.safetensors'),
      new Map([...weights].map(([key, weight]) => [key.slice(4), weight])),
    );
    expect(
      await userError(() => openCheckpoint(tiny, { vae: path('eight.safetensors') })),
    ).toContain('makes latents of 8 channels, the U-Net of');
  });
});
