import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { architecture } from '../../src/checkpoint/architectures.ts';
import { elementCount } from '../../src/checkpoint/storageType.ts';
import { expectedTensors } from '../../src/checkpoint/expectedTensors.ts';
import { findNonFinite, readFloat32 } from '../../src/checkpoint/floats.ts';
import { randomWeights } from '../../src/checkpoint/randomWeights.ts';
import { openCheckpoint } from '../../src/node/openCheckpoint.ts';
import { openSafetensors } from '../../src/node/safetensorsFile.ts';
import { clipTokenizer, readTokenizer } from '../../src/node/tokenizerFiles.ts';
import {
  initCheckpoint,
  writeDiffusersFolder,
  writeLdmFile,
} from '../../src/node/writeCheckpoint.ts';
import { digest, fixture, golden, json, lines, temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();
const path = (name: string): string => join(folder, name);
const count = (shapes: Iterable<readonly number[]>): number =>
  [...shapes].reduce((sum, shape) => sum + elementCount(shape), 0);

describe('known architectures', () => {
  test('Stable Diffusion 1.5: the published counts', () => {
    const { unet, vae, textEncoder } = architecture('sd15');
    expect(
      [expectedTensors({ unet }), expectedTensors({ vae }), expectedTensors({ textEncoder })].map(
        (shapes) => [shapes.size, count(shapes.values())],
      ),
    ).toEqual([
      [686, 859_520_964],
      [248, 83_653_863],
      [196, 123_060_480],
    ]);
  });
  test('Stable Diffusion 2.1', () => {
    const { unet, textEncoder } = architecture('sd21');
    expect(count(expectedTensors({ unet }).values())).toBe(865_910_724);
    expect(count(expectedTensors({ textEncoder }).values())).toBe(340_387_840);
  });
  test('tiny has the shapes of the golden model', async () => {
    const { weights } = await openCheckpoint(golden('tiny-sd'));
    expect([...expectedTensors(architecture('tiny'))]).toEqual(
      Array.from(weights, ([name, { shape }]) => [name, shape]),
    );
  });
});

describe('random weights', () => {
  const shapes = new Map([
    ['a.to_q.weight', [100, 400]],
    ['a.conv.weight', [10, 20, 3, 3]],
    ['a.norm.weight', [5]],
    ['a.norm.bias', [5]],
    ['text_encoder.text_model.embeddings.token_embedding.weight', [1000, 12]],
  ]);
  const deviation = (weight: Weight): number =>
    Math.sqrt(readFloat32(weight).reduce((sum, x) => sum + x * x, 0) / elementCount(weight.shape));

  test('norms 1, biases 0, the rest uniform within 1 / sqrt(inputs), embeddings as CLIP has them', () => {
    const weights = randomWeights(shapes, 7);
    expect([...readFloat32(weights.get('a.norm.weight')!)]).toEqual([1, 1, 1, 1, 1]);
    expect([...readFloat32(weights.get('a.norm.bias')!)]).toEqual([0, 0, 0, 0, 0]);
    const linear = readFloat32(weights.get('a.to_q.weight')!);
    expect(Math.max(...linear.map(Math.abs))).toBeLessThanOrEqual(1 / 20);
    expect(deviation(weights.get('a.to_q.weight')!)).toBeCloseTo(1 / 20 / Math.sqrt(3), 3);
    expect(linear.reduce((sum, x) => sum + x, 0) / linear.length).toBeCloseTo(0, 3);
    expect(deviation(weights.get('a.conv.weight')!)).toBeCloseTo(
      1 / Math.sqrt(180) / Math.sqrt(3),
      2,
    );
    expect(
      deviation(weights.get('text_encoder.text_model.embeddings.token_embedding.weight')!),
    ).toBeCloseTo(0.02, 3);
    expect(new Set(linear).size).toBeGreaterThan(0.99 * linear.length);
  });
  test('depend on seed and name, and on nothing else', async () => {
    const [one, two] = [randomWeights(shapes, 7), randomWeights(new Map([...shapes].reverse()), 7)];
    for (const [name, weight] of one) expect(weight.read()).toEqual(two.get(name)!.read());
    expect(randomWeights(shapes, 8).get('a.to_q.weight')!.read()).not.toEqual(
      one.get('a.to_q.weight')!.read(),
    );
    const same = randomWeights(
      new Map([
        ['x.weight', [4, 4]],
        ['y.weight', [4, 4]],
      ]),
      7,
    );
    expect(same.get('x.weight')!.read()).not.toEqual(same.get('y.weight')!.read());
    for (const seed of [-1, 0.5, 2 ** 32])
      expect(await userError(() => randomWeights(shapes, seed))).toContain('seed');
  });
});

describe('diffusers folder', () => {
  test('a new one is whole, finite, the same for the same seed, and brings the tokenizer', async () => {
    await initCheckpoint('tiny', 3, path('one'));
    await initCheckpoint('tiny', 3, path('two'));
    const [one, two] = [await openCheckpoint(path('one')), await openCheckpoint(path('two'))];
    expect(lines(one.weights)).toEqual(lines(two.weights));
    expect(findNonFinite(one.weights)).toEqual([]);
    expect(one).toMatchObject({ ...architecture('tiny'), notes: [] });
    const text = 'a photo of a cat, d\u00e9j\u00e0 vu';
    expect((await readTokenizer(one.tokenizerFolder!)).encode(text)).toEqual(
      (await clipTokenizer()).encode(text),
    );
    expect(json(join(path('one'), 'model_index.json'))).toMatchObject({
      _class_name: 'StableDiffusionPipeline',
      tokenizer: ['transformers', 'CLIPTokenizer'],
    });
    expect(readdirSync(path('one')).sort()).toEqual([
      'model_index.json',
      'scheduler',
      'text_encoder',
      'tokenizer',
      'unet',
      'vae',
    ]);
  });

  test('from a single file, in another type, and back', async () => {
    const ldm = await openCheckpoint(fixture('sd2-openclip.safetensors'));
    await writeDiffusersFolder(path('odd'), ldm);
    const read = await openCheckpoint(path('odd'));
    expect(lines(read.weights)).toEqual(lines(ldm.weights));
    const { unet, textEncoder, vae, schedule } = read;
    expect({ unet, textEncoder, vae, schedule }).toEqual({
      unet: ldm.unet,
      textEncoder: ldm.textEncoder,
      vae: ldm.vae,
      schedule: ldm.schedule,
    });
    // Its vocabulary is not CLIP's, and it brought none.
    expect(read.tokenizerFolder).toBeUndefined();
    await writeDiffusersFolder(path('odd-f32'), ldm, { dtype: 'f32' });
    expect(json(join(path('odd-f32'), 'text_encoder/config.json'))).toMatchObject({
      torch_dtype: 'float32',
    });
    const wide = await openCheckpoint(path('odd-f32'));
    for (const [name, weight] of ldm.weights)
      expect(readFloat32(wide.weights.get(name)!)).toEqual(readFloat32(weight));
  });

  test('an empty folder is taken over; an existing model only with force; any other folder never', async () => {
    const model = await openCheckpoint(fixture('sd2-openclip.safetensors'));
    mkdirSync(path('empty'));
    await writeDiffusersFolder(path('empty'), model);
    expect(await userError(() => writeDiffusersFolder(path('empty'), model))).toContain(
      'exists already',
    );
    writeFileSync(join(path('empty'), 'old'), '');
    await writeDiffusersFolder(path('empty'), model, { force: true });
    expect(existsSync(join(path('empty'), 'old'))).toBe(false);
    mkdirSync(path('home'));
    writeFileSync(join(path('home'), 'letter'), 'dear');
    expect(
      await userError(() => writeDiffusersFolder(path('home'), model, { force: true })),
    ).toContain('even --force replaces only folders that have it');
    expect(readFileSync(join(path('home'), 'letter'), 'utf8')).toBe('dear');
  });

  test('where a tensor cannot be read nothing is left behind', async () => {
    const model = await openCheckpoint(fixture('sd2-openclip.safetensors'));
    const weights = new Map(model.weights);
    const bias = weights.get('vae.quant_conv.bias')!;
    weights.set('vae.quant_conv.bias', {
      dtype: bias.dtype,
      shape: bias.shape,
      read: () => {
        throw new UserError('gone');
      },
    });
    mkdirSync(path('here'));
    expect(
      await userError(() => writeDiffusersFolder(join(path('here'), 'out'), { ...model, weights })),
    ).toBe('gone');
    expect(readdirSync(path('here'))).toEqual([]);
    weights.delete('vae.quant_conv.bias');
    expect(
      await userError(() => writeDiffusersFolder(join(path('here'), 'out'), { ...model, weights })),
    ).toContain('vae.quant_conv.bias [8] is missing');
    expect(readdirSync(path('here'))).toEqual([]);
  });
});

describe('single file', () => {
  test.each(['sd1-odd.ckpt', 'sd2-openclip.safetensors'])(
    '%s: written and read back the same; its configurations go beside it',
    async (name) => {
      const model = await openCheckpoint(fixture(name));
      const out = path(`${name}.safetensors`);
      const settings = path(`${name}.json`);
      expect(await writeLdmFile(out, model)).toEqual([out, settings]);
      const read = await openCheckpoint(out);
      for (const root of ['unet', 'vae', 'text_encoder'])
        expect(digest(read.weights, root)).toBe(digest(model.weights, root));
      expect(read.notes).toEqual([`configuration: ${settings}`]);
      const { unet, textEncoder, vae, schedule } = model;
      expect(read).toMatchObject({ unet, textEncoder, vae, schedule });

      const ckpt = path(`${name}-again.ckpt`);
      expect(await writeLdmFile(ckpt, model)).toHaveLength(2);
      const again = await openCheckpoint(ckpt);
      expect(digest(again.weights, '')).toBe(digest(model.weights, ''));
      expect(again).toMatchObject({ unet, textEncoder, vae, schedule });
    },
  );

  test("OpenCLIP's file is given back tensor by tensor, its last layer aside", async () => {
    const original = openSafetensors(fixture('sd2-openclip.safetensors')).tensors;
    const written = openSafetensors(path('sd2-openclip.safetensors.safetensors')).tensors;
    expect([...written.keys()].sort()).toEqual([...original.keys()].sort());
    for (const [name, weight] of written) {
      expect(weight.shape, name).toEqual(original.get(name)!.shape);
      if (!/resblocks\.2\.|text_projection|logit_scale/.test(name))
        expect(lines(new Map([[name, weight]]))).toEqual(
          lines(new Map([[name, original.get(name)!]])),
        );
    }
  });

  test('SD1 and SD2 of known size need nothing beside them', async () => {
    for (const [name, context] of [
      ['sd15', 768],
      ['sd21', 1024],
    ] as const) {
      const { unet, textEncoder, vae, schedule } = architecture(name);
      const small = {
        unet: {
          ...unet,
          blockOutChannels: [64, 64],
          numAttentionHeads: name === 'sd15' ? [8, 8] : [1, 1],
          layersPerBlock: [1, 1],
          transformerLayersPerBlock: [1, 1],
          downBlockTypes: ['CrossAttnDownBlock2D', 'DownBlock2D'] as const,
          upBlockTypes: ['UpBlock2D', 'CrossAttnUpBlock2D'] as const,
        },
        textEncoder: {
          ...textEncoder,
          vocabSize: 20,
          bosTokenId: 18,
          eosTokenId: 19,
          padTokenId: name === 'sd15' ? 19 : 0,
          numHiddenLayers: 1,
          intermediateSize: 8,
          hiddenSize: context,
        },
        vae: { ...vae, blockOutChannels: [32, 32], layersPerBlock: 1 },
        schedule,
      };
      const weights = randomWeights(expectedTensors(small), 1);
      const out = path(`${name}.safetensors`);
      expect(await writeLdmFile(out, { ...small, weights }, { dtype: 'f16' })).toEqual([out]);
      const read = await openCheckpoint(out);
      expect(read.schedule).toEqual(schedule);
      expect(read.unet.numAttentionHeads).toEqual(small.unet.numAttentionHeads);
      expect(read.textEncoder).toMatchObject({
        hiddenAct: textEncoder.hiddenAct,
        padTokenId: small.textEncoder.padTokenId,
        numHiddenLayers: 1,
      });
      expect(openSafetensors(out).metadata['modelspec.prediction_type']).toBe(
        name === 'sd15' ? 'epsilon' : 'v',
      );
      // A .ckpt cannot say what SD2 predicts.
      const ckpt = path(`as-ckpt-${name}.ckpt`);
      expect(await writeLdmFile(ckpt, { ...small, weights })).toEqual(
        name === 'sd15' ? [ckpt] : [ckpt, path(`as-ckpt-${name}.json`)],
      );
      expect((await openCheckpoint(ckpt)).schedule).toEqual(schedule);
    }
  });

  test('refused: another ending; what exists; and the settings go with a file that could not be written', async () => {
    const model = await openCheckpoint(fixture('sd1-odd.ckpt'));
    expect(await userError(() => writeLdmFile(path('x.pt'), model))).toContain(
      'is written as .safetensors or .ckpt',
    );
    writeFileSync(path('taken.safetensors'), 'kept');
    expect(await userError(() => writeLdmFile(path('taken.safetensors'), model))).toContain(
      'exists already',
    );
    expect(readFileSync(path('taken.safetensors'), 'utf8')).toBe('kept');
    expect(existsSync(path('taken.json'))).toBe(false);
  });
});
