/** @file Layouts of files: every older form, alpha, metadata, hashes, and what is refused. */
import { join } from 'node:path';
import { readFloat32, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import type { Weight } from '@sdft/tensor';
import { describe, expect, it, test } from 'vitest';
import {
  adamw,
  convertNetwork,
  lora,
  type LoraOptions,
  openBase,
  pipeline,
} from '../../src/index.ts';
import { factorization } from '../../src/lora/algorithms/lokr.ts';
import { networkHashes } from '../../src/lora/files/hashes.ts';
import { kohyaName, pathOfKohya } from '../../src/lora/files/layerNames.ts';
import { readNetwork } from '../../src/lora/files/readNetwork.ts';
import { loraKind } from '../../src/lora/loraKind.ts';
import { goldens, temporaryFolder, using } from '../support/fixtures.ts';
import { at as oracle } from './oracles.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const golden = goldens('train/lora/result.safetensors');
const kohya = goldens('train/kohya_lora/result.safetensors');
const floats = (values: readonly number[], shape: readonly number[]): Weight =>
  weightOf('f32', shape, new Uint8Array(Float32Array.from(values).buffer));
const zeros = (...shape: number[]): Weight =>
  floats(Array(shape.reduce((n, d) => n * d, 1)).fill(0) as number[], shape);
const key = 'unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k';
const query = 'text_encoder.text_model.encoder.layers.0.self_attn.q_proj';

/** Layers with their scale and numbers. */
async function contents(path: string) {
  const { layers } = await readNetwork(path);
  return Object.fromEntries(
    [...layers].map(([layer, { scale, tensors }]) => [
      layer,
      [
        scale,
        ...Object.entries(tensors)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, weight]) => [name, [...readFloat32(weight)]]),
      ],
    ]),
  );
}

describe('layers by their names', () => {
  it('go to kohya and back, all of a base', async () => {
    const { weights } = await openBase(goldens('tiny-sd'));
    const paths = new Set(
      [...weights.keys()]
        .filter((name) => !name.startsWith('vae.'))
        .map((name) => name.replace(/\.(weight|bias)$/, '')),
    );
    expect(paths.size).toBeGreaterThan(300);
    for (const path of paths) expect(pathOfKohya(kohyaName(path))).toBe(path);
    expect(pathOfKohya('lora_te1_text_model_encoder_layers_0_mlp_fc1')).toBe(
      'text_encoder.text_model.encoder.layers.0.mlp.fc1',
    );
    expect(pathOfKohya('lora_unet_input_blocks_4_1_proj_in')).toBeUndefined();
  });

  it.each([
    [
      'PEFT',
      (name: string) => name.replace('.lora.down.', '.lora_A.').replace('.lora.up.', '.lora_B.'),
    ],
    [
      'PEFT with the name of an adapter',
      (name: string) =>
        name
          .replace('unet.', 'base_model.model.')
          .replace('.lora.down.', '.lora_A.default.')
          .replace('.lora.up.', '.lora_B.default.'),
    ],
    [
      'attention processors',
      (name: string) =>
        name
          .replace(/\.(to_[qkv]|to_out)(\.0)?\.lora\./, '.processor.$1_lora.')
          .replace('unet.', ''),
    ],
  ])('in the form of %s are the same', async (form, rename) => {
    const { tensors } = openSafetensors(golden);
    const path = at(`${form}.safetensors`);
    await writeSafetensors(
      path,
      new Map([...tensors].map(([name, weight]) => [rename(name), weight])),
    );
    expect([...openSafetensors(path).tensors.keys()]).not.toContain([...tensors.keys()][0]);
    expect(await contents(path)).toEqual(await contents(golden));
  });

  it.each(['text_encoder.text_model.', 'text_encoder.', 'text_model.', 'encoder.'])(
    'of the text encoder may begin with %s',
    async (root) => {
      const name = `${root === 'encoder.' ? '' : root}encoder.layers.0.self_attn.q_proj.lora_linear_layer`;
      const path = at('text.safetensors');
      const file = new Map([
        [`${name}.down.weight`, zeros(2, 12)],
        [`${name}.up.weight`, zeros(12, 2)],
      ]);
      await writeSafetensors(path, file, { force: true });
      expect([...(await readNetwork(path)).layers.keys()]).toEqual([query]);
    },
  );
});

describe('alpha', () => {
  it("is told by kohya's tensors, and is the rank where nothing tells it", async () => {
    const scales = async (path: string) =>
      new Set([...(await readNetwork(path)).layers.values()].map(({ scale }) => scale));
    expect(await scales(kohya)).toEqual(new Set([0.5]));
    expect(await scales(golden)).toEqual(new Set([1]));
  });

  it("is multiplied into a factor on the way to PEFT's layout, which does the same", async () => {
    await convertNetwork(kohya, at('folded.safetensors'), { format: 'peft' });
    const [ours, theirs] = [await contents(at('folded.safetensors')), await contents(kohya)];
    const up = (from: typeof ours) => (from[key]![2] as [string, number[]])[1];
    expect(ours[key]![0]).toBe(1);
    expect(up(ours)).toEqual(up(theirs).map((value) => value * 0.5));
  });

  const stem = pipeline()
    .model(goldens('tiny-sd'))
    .optimizer(adamw({ lr: 1e-3 }))
    .seed(1);
  const saved = async (name: string, options: Partial<LoraOptions>, initFrom?: string) => {
    const run = stem.method(lora(options));
    const path = at(name);
    await using(
      (initFrom === undefined ? run : run.initFrom(initFrom)).build({
        replay: goldens('train/lora/replay.safetensors'),
      }),
      (built) => built.save(path, { force: true }),
    );
    return path;
  };

  it('stands in the metadata of what a run in the flavour diffusers writes', async () => {
    const path = await saved('alpha.safetensors', { rank: 4, alpha: 3, targets: key });
    const text = openSafetensors(path).metadata['lora_adapter_metadata']!;
    expect(JSON.parse(text)).toMatchObject({
      'unet.r': 4,
      'unet.lora_alpha': 3,
      'unet.target_modules': [key.replace('unet.', '')],
      'unet.use_dora': false,
    });
    expect((await contents(path))[key]![0]).toBe(0.75);
  });

  it('of a file that a run begins with is made up for', async () => {
    const up = (from: Awaited<ReturnType<typeof contents>>) => {
      const [scale, , values] = from[key] as [number, unknown, [string, number[]]];
      return values[1].map((value) => scale * value);
    };
    const [one, other] = [
      await saved('same.safetensors', { rank: 8 }, golden),
      await saved('other.safetensors', { rank: 8, alpha: 2 }, golden),
    ].map(contents);
    expect((await other!)[key]![0]).toBe(0.25);
    expect(up(await other!)).toEqual(up(await one!));
  });
});

describe("kohya's metadata", () => {
  it('have the hashes that kohya computes', async () => {
    for (const file of ['result', 'result-f16']) {
      const { tensors, metadata } = openSafetensors(
        goldens(`train/kohya_lora/${file}.safetensors`),
      );
      const { sshs_model_hash, sshs_legacy_hash } = metadata;
      expect(await networkHashes(tensors, metadata)).toEqual({ sshs_model_hash, sshs_legacy_hash });
    }
  });

  it('tell the run, and of paths their last part alone', async () => {
    const run = pipeline()
      .model(goldens('tiny-sd'))
      .method(lora({ flavour: 'kohya', rank: 2, alpha: 1, targets: key, convRank: 1, snrGamma: 5 }))
      .optimizer(adamw({ lr: 1e-3 }))
      .with({ clipSkip: 2 })
      .seed(7)
      .steps(3);
    const path = at('told.safetensors');
    await using(run.build({ replay: goldens('train/lora/replay.safetensors') }), (built) =>
      built.save(path),
    );
    const { metadata } = openSafetensors(path);
    expect(metadata).toMatchObject({
      ss_v2: 'False',
      ss_base_model_version: 'sd_v1',
      ss_network_module: 'networks.lora',
      ss_network_dim: '2',
      ss_network_alpha: '1',
      ss_network_args: '{"conv_dim":"1"}',
      ss_output_name: 'told',
      ss_sd_model_name: 'tiny-sd',
      ss_unet_lr: '0.001',
      ss_min_snr_gamma: '5',
      ss_clip_skip: '2',
      ss_seed: '7',
      'modelspec.architecture': 'stable-diffusion-v1/lora',
      'modelspec.sai_model_spec': '1.0.1',
      'modelspec.title': 'told',
    });
    expect(metadata['sshs_model_hash']).toMatch(/^[0-9a-f]{64}$/);
    for (const [name, value] of Object.entries(metadata))
      if (name !== 'modelspec.architecture') expect(value, name).not.toMatch(/[/\\]\w/);
  });

  it('stay with a file that is stored otherwise', async () => {
    await convertNetwork(kohya, at('half.safetensors'), { format: 'kohya', dtype: 'f16' });
    const { metadata, tensors } = openSafetensors(at('half.safetensors'));
    expect(metadata).toMatchObject({ ss_network_dim: '4', ss_network_alpha: '2.0' });
    expect(metadata['sshs_model_hash']).not.toBe(
      openSafetensors(kohya).metadata['sshs_model_hash'],
    );
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['f16']));
  });
});

test.each([
  [128, -1, [8, 16]],
  [320, -1, [16, 20]],
  [768, -1, [24, 32]],
  [1280, -1, [32, 40]],
  [320, 8, [8, 40]],
  [1280, 8, [8, 160]],
  [127, 4, [1, 127]],
  [250, 8, [5, 50]],
  [16, 8, [2, 8]],
])("LoKr splits %i by %i as LyCORIS' own table does", (width, factor, expected) => {
  expect(factorization(width, factor)).toEqual(expected);
});

describe('refused:', () => {
  const refused = async (
    name: string,
    file: Readonly<Record<string, Weight>>,
    said: RegExp,
    metadata: Record<string, string> = {},
  ): Promise<void> => {
    const path = at(`${name}.safetensors`);
    await writeSafetensors(path, new Map(Object.entries(file)), { metadata });
    const base = await openBase(goldens('tiny-sd'));
    await expect(loraKind.open(path, base)).rejects.toThrow(said);
    await expect(loraKind.open(path, base)).rejects.toThrow(`${name}.safetensors`);
    await expect(loraKind.open(path, base)).rejects.toMatchObject({ name: 'UserError' });
  };
  const factors = (path: string, out: number, input: number, rank = 2) => ({
    [`${path}.lora_A.weight`]: zeros(rank, input),
    [`${path}.lora_B.weight`]: zeros(out, rank),
  });

  test('a LoRA for another base', () =>
    refused(
      'sd2',
      factors(key, 1280, 1024),
      /text states 1024 wide \(Stable Diffusion 2\), this base's are 12 wide/,
    ));
  test('a layer that the base has not', () =>
    refused(
      'deeper',
      factors(query.replace('.0.', '.11.'), 12, 12),
      /changes .*layers\.11.*, which .* has not; the nearest is/,
    ));
  test('one for SDXL', () =>
    refused(
      'xl',
      { 'lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha': zeros() },
      /Stable Diffusion XL/,
    ));
  test('one for a transformer', () =>
    refused('flux', factors('transformer.single_blocks.0.linear1', 4, 4), /diffusion transformer/));
  test.each([
    ['oft_blocks', 'OFT'],
    ['a1.weight', 'GLoRA'],
  ])('an algorithm that is not known: %s', (part, said) =>
    refused(said, { [`${kohyaName(key)}.${part}`]: zeros(2, 2) }, new RegExp(`belong to ${said}`)),
  );
  test('keys that are none', () =>
    refused(
      'strange',
      { ...factors(key, 32, 12), 'unet.surprise': zeros(1) },
      /holds unet\.surprise, which is no part of a LoRA/,
    ));
  test('half a layer', () =>
    refused(
      'half-a-layer',
      { [`${key}.lora_A.weight`]: zeros(2, 12) },
      /has lora_down, which is no whole change/,
    ));
  test('numbers that are none', () =>
    refused(
      'nan',
      {
        ...factors(key, 32, 12),
        [`${key}.lora_A.weight`]: floats(Array(24).fill(NaN) as number[], [2, 12]),
      },
      /24 numbers that are not finite/,
    ));
  test('metadata that are no JSON', () =>
    refused('metadata', factors(key, 32, 12), /lora_adapter_metadata is no JSON/, {
      lora_adapter_metadata: '{',
    }));
  test('another file', async () => {
    const base = await openBase(goldens('tiny-sd'));
    await expect(loraKind.open(goldens('train/ti/result.safetensors'), base)).rejects.toThrow(
      /is no file of the LoRA family: its tensors are called <my-cup>/,
    );
    await expect(loraKind.open(goldens('files/malicious-sample.ckpt'), base)).rejects.toMatchObject(
      { name: 'UserError' },
    );
  });

  test.each<[Partial<LoraOptions>, RegExp]>([
    [
      { rank: 64, targets: key },
      /rank 64 is larger than the layer .*attn2\.to_k, whose weight \[32, 12\] has at most 12/,
    ],
    [{ targets: 'unet.**.norm1' }, /no linear layer and no convolution/],
    [{ targets: 'atention' }, /"atention" is neither a glob .* nor one of attention,/],
    [{ algorithm: 'loha', dropout: 0.1 }, /dropout is for plain LoRA/],
    [{ algorithm: 'ia3', dora: true }, /do not go together/],
  ])('settings %j', async (options, said) => {
    const build = async () =>
      pipeline()
        .model(goldens('tiny-sd'))
        .method(lora(options))
        .optimizer(adamw({ lr: 1 }))
        .build({ replay: goldens('train/lora/replay.safetensors') });
    await expect(build()).rejects.toThrow(said);
  });

  test.each<[Partial<LoraOptions>, RegExp]>([
    [{ rank: 4 }, /lora_down is \[8, .*, this run needs \[4, .*say rank/],
    [{ rank: 8, targets: key }, /changes .*, which this run does not; say targets/],
    [{ rank: 8, targets: 'linear' }, /has nothing for .*, which this run trains/],
    [{ rank: 8, algorithm: 'loha' }, /is lora at .*, this run trains loha/],
  ])('to begin with a file of other settings: %j', async (options, said) => {
    const build = pipeline()
      .model(goldens('tiny-sd'))
      .method(lora(options))
      .optimizer(adamw({ lr: 1 }))
      .initFrom(golden)
      .build({ replay: goldens('train/lora/replay.safetensors') });
    await expect(build).rejects.toThrow(said);
  });

  test("what PEFT's layout has no place for", () =>
    expect(
      convertNetwork(oracle('lycoris-loha.result.safetensors'), at('no.safetensors'), {
        format: 'peft',
      }),
    ).rejects.toThrow(/loha at .* has no place in diffusers' layout/));
});
