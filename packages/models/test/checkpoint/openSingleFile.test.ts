import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Weight } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { architecture } from '../../src/checkpoint/architectures.ts';
import { expectedTensors } from '../../src/checkpoint/expectedTensors.ts';
import type { ModelConfigs } from '../../src/checkpoint/family.ts';
import { castWeight, readFloat32 } from '../../src/checkpoint/floats.ts';
import { randomWeights } from '../../src/checkpoint/randomWeights.ts';
import { layOut } from '../../src/checkpoint/safetensors.ts';
import { toSingleFile } from '../../src/checkpoint/toSingleFile.ts';
import { openCheckpoint } from '../../src/node/openCheckpoint.ts';
import { processorMs } from '../processor.ts';
import { digest, fixture, golden, json, temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();
const path = (name: string): string => join(folder, name);
const tiny = golden('tiny-sd');
const ckpt = golden('files/model-f16.ckpt');

/** Writes a checkpoint whose numbers are all zero and take no room on disk: the header is real, the rest a hole. */
function hollow(
  file: string,
  tensors: ReadonlyMap<string, Weight>,
  metadata: Record<string, string> = {},
): string {
  const { head, size } = layOut(tensors, metadata);
  writeFileSync(file, head);
  truncateSync(file, size);
  return file;
}
const hollowWeights = (configs: ModelConfigs): Map<string, Weight> =>
  randomWeights(expectedTensors(configs), 0);
const hollowLdm = (
  name: string,
  configs: ModelConfigs,
  metadata?: Record<string, string>,
): string => hollow(path(name), toSingleFile(hollowWeights(configs), configs), metadata);

describe('single files, against the reference converter', () => {
  interface Manifest {
    readonly digests?: Record<string, string>;
    readonly ema?: string;
  }
  const manifest = json<Record<string, Manifest>>(fixture('manifest.json'));

  test.each(['sd1-odd.ckpt', 'sd2-openclip.safetensors'])(
    '%s: the .json beside it says how it is built',
    async (name) => {
      const checkpoint = await openCheckpoint(fixture(name));
      for (const [root, expected] of Object.entries(manifest[name]!.digests!))
        expect(digest(checkpoint.weights, root), root).toBe(expected);
      expect(checkpoint.notes).toEqual([
        `configuration: ${fixture(name).replace(/\.\w+$/, '.json')}`,
      ]);
      expect(checkpoint.schedule).toMatchObject({
        predictionType: name.startsWith('sd2') ? 'v_prediction' : 'epsilon',
        betaStart: 0.00085,
        betaSchedule: 'scaled_linear',
      });
      expect(checkpoint.tokenizerFolder).toBeUndefined();
    },
  );

  test('query, key and value of OpenCLIP are views of the same bytes', async () => {
    const { weights } = await openCheckpoint(fixture('sd2-openclip.safetensors'));
    const place = (name: string): { offset: number; length: number } =>
      weights.get(`text_encoder.text_model.encoder.layers.0.self_attn.${name}.weight`)!.file!;
    expect(place('k_proj').offset).toBe(place('q_proj').offset + place('q_proj').length);
    expect(place('v_proj').offset).toBe(place('k_proj').offset + place('k_proj').length);
  });

  test('running averages only when asked for', async () => {
    const checkpoint = await openCheckpoint(fixture('sd1-odd.ckpt'), { emaWeights: true });
    expect(digest(checkpoint.weights, 'unet')).toBe(manifest['sd1-odd.ckpt']!.ema);
    expect(digest(checkpoint.weights, 'vae')).toBe(manifest['sd1-odd.ckpt']!.digests!.vae);
    expect(
      await userError(() => openCheckpoint(ckpt, { config: tiny, emaWeights: true })),
    ).toContain('has no running average (EMA) of model.diffusion_model.');
  });

  test('the golden .ckpt is the golden folder in half precision', async () => {
    const [whole, half] = [
      await openCheckpoint(tiny),
      await openCheckpoint(ckpt, { config: tiny }),
    ];
    expect([...half.weights.keys()]).toEqual([...whole.weights.keys()]);
    for (const [name, weight] of whole.weights)
      expect(readFloat32(half.weights.get(name)!), name).toEqual(
        readFloat32(castWeight(weight, 'f16', name)),
      );
    expect(half).toMatchObject({
      kind: 'ldm',
      tokenizerFolder: join(tiny, 'tokenizer'),
      notes: [`configuration: ${tiny}`],
    });
  });
});

describe('what a single file does not say', () => {
  const sd15 = architecture('sd15');
  const sd21 = architecture('sd21');
  const yaml = (extra: string): string =>
    `model:\n  params:\n    ${extra}\n    unet_config:\n      params:\n        num_head_channels: 64\n        context_dim: 1024\n    cond_stage_config:\n      target: FrozenOpenCLIPEmbedder\n`;

  test('SD1: the rule for width 768', async () => {
    const { unet, textEncoder, vae, schedule, notes } = await openCheckpoint(
      hollowLdm('sd15.safetensors', sd15),
    );
    expect(notes).toEqual([expect.stringContaining('rule for width 768')]);
    expect({ unet, textEncoder, schedule }).toEqual({
      unet: sd15.unet,
      textEncoder: sd15.textEncoder,
      schedule: sd15.schedule,
    });
    expect({ ...vae, sampleSize: 512 }).toEqual(sd15.vae);
  });

  test('SD2: nothing says what it predicts, so that it must be said', async () => {
    const file = hollowLdm('sd21.safetensors', sd21);
    const said = await userError(() => openCheckpoint(file));
    expect(said).toContain(file);
    expect(said).toContain('--prediction-type epsilon|v');
    const { unet, textEncoder, schedule, notes } = await openCheckpoint(file, {
      predictionType: 'v_prediction',
    });
    expect(notes).toEqual([expect.stringContaining('rule for width 1024')]);
    expect({ ...unet, upcastAttention: true }).toEqual(sd21.unet);
    expect({ ...textEncoder, projectionDim: 512 }).toEqual(sd21.textEncoder);
    expect(schedule).toEqual(sd21.schedule);
    expect((await openCheckpoint(file, { predictionType: 'epsilon' })).unet.sampleSize).toBe(64);
  });

  test('SD2: metadata, the .yaml beside the file, --config, --prediction-type, each before the one before', async () => {
    const file = hollowLdm('stated.safetensors', sd21, { 'modelspec.prediction_type': 'v' });
    const first = await openCheckpoint(file);
    expect(first.schedule.predictionType).toBe('v_prediction');
    expect(first.notes.at(-1)).toContain('modelspec.prediction_type');

    writeFileSync(path('stated.yaml'), yaml('parameterization: eps'));
    const second = await openCheckpoint(file);
    expect(second.schedule.predictionType).toBe('epsilon');
    expect(second.notes).toEqual([`configuration: ${path('stated.yaml')}`]);

    writeFileSync(path('other.yaml'), yaml('parameterization: v'));
    const third = await openCheckpoint(file, { config: path('other.yaml') });
    expect(third.schedule.predictionType).toBe('v_prediction');
    expect(third.notes).toEqual([`configuration: ${path('other.yaml')}`]);

    const fourth = await openCheckpoint(file, {
      config: path('other.yaml'),
      predictionType: 'epsilon',
    });
    expect(fourth.schedule.predictionType).toBe('epsilon');
  });

  test('an OpenCLIP encoder of 23 layers lacks the last already', async () => {
    const tensors = toSingleFile(hollowWeights(sd21), sd21);
    for (const key of [...tensors.keys()]) if (key.includes('.resblocks.23.')) tensors.delete(key);
    const file = hollow(path('short.safetensors'), tensors);
    expect(
      (await openCheckpoint(file, { predictionType: 'epsilon' })).textEncoder.numHiddenLayers,
    ).toBe(23);
  });

  test('no rule: says what is unknown and what to do; a note of another program beside the file is passed over', async () => {
    const file = path(basename(ckpt));
    cpSync(ckpt, file);
    writeFileSync(path('model-f16.json'), '{"description":"mine","sd version":"SD1"}');
    const said = await userError(() => openCheckpoint(file));
    expect(said).toContain('text states 12 wide');
    expect(said).toContain('--config DIR|FILE');
    expect(said).toContain('--prediction-type');
    expect(
      await userError(() => openCheckpoint(file, { config: path('model-f16.json') })),
    ).toContain('holds no configuration of a model');
  });

  test('a configuration for another model: what does not fit', async () => {
    const said = await userError(() => openCheckpoint(fixture('sd1-odd.ckpt'), { config: tiny }));
    expect(said).toContain('do not fit the model that its settings describe');
    expect(said).toMatch(/has shape .* is expected/);
    expect(await userError(() => openCheckpoint(ckpt, { config: folder }))).toContain(
      'no folder in diffusers layout',
    );
    writeFileSync(path('bad.yaml'), 'a: [');
    expect(await userError(() => openCheckpoint(ckpt, { config: path('bad.yaml') }))).toContain(
      'bad.yaml: is not YAML',
    );
    writeFileSync(path('unet.json'), readFileSync(join(tiny, 'unet/config.json')));
    // A U-Net's config alone leaves the other networks to the rule, and there is none.
    expect(await userError(() => openCheckpoint(ckpt, { config: path('unet.json') }))).toContain(
      '--config',
    );
  });
});

test('860 million parameters open in under a second of the processor, without reading them', async () => {
  const configs = architecture('sd15');
  const file = hollowLdm('large.safetensors', configs);
  await openCheckpoint(tiny);
  const before = process.memoryUsage();
  const start = processorMs();
  const { weights } = await openCheckpoint(file);
  expect(processorMs() - start).toBeLessThan(1000);
  const after = process.memoryUsage();
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(20e6);
  expect(after.rss - before.rss).toBeLessThan(200e6);
  expect([...weights.values()].reduce((sum, { file: place }) => sum + place!.length, 0)).toBe(
    4 * (859_520_964 + 83_653_863 + 123_060_480),
  );
});
