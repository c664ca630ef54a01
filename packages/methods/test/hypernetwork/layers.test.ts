/** @file Modules of single layers, the penalty on shallow ones, and all that is not trained. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import type { Weight } from '@sdft/tensor';
import { expect, test } from 'vitest';
import {
  adamw,
  hypernetwork,
  type HypernetworkOptions,
  openBase,
  openGenerator,
  pipeline,
} from '../../src/index.ts';
import { hypernetworkKind } from '../../src/hypernetwork/hypernetworkKind.ts';
import { depthsOf } from '../../src/hypernetwork/shallowPenalty.ts';
import { goldens, reports, temporaryFolder, using } from '../support/fixtures.ts';
import { flat, ownRun, size } from './runs.ts';

const folder = temporaryFolder();
const replay = goldens('train/hn_linear/replay.safetensors');
const described = (options: HypernetworkOptions) =>
  pipeline()
    .model(goldens('tiny-sd'))
    .method(hypernetwork(options))
    .optimizer(adamw({ lr: 1e-2 }))
    .steps(5)
    .seed(1);

test('depth runs from 0 at both ends to 1 in the middle', () => {
  const block = (place: string) => `unet.${place}.transformer_blocks.0`;
  const places = [
    'down_blocks.0.attentions.0',
    'down_blocks.0.attentions.1',
    'mid_block.attentions.0',
    'up_blocks.1.attentions.0',
    'up_blocks.1.attentions.1',
    'up_blocks.1.attentions.2',
    'up_blocks.2.attentions.0',
  ];
  const paths = places.flatMap((place) =>
    ['attn1.to_k', 'attn2.to_v'].map((layer) => `${block(place)}.${layer}`),
  );
  expect([...depthsOf(paths).values()]).toEqual(
    [0, 1 / 2, 1, 3 / 4, 2 / 4, 1 / 4, 0].flatMap((depth) => [depth, depth]),
  );
});

test('the penalty is the mean of (1 - depth) mean(h(x)^2) over the layers', async () => {
  const options = { layerStructure: '1, 1', modules: 'layer' } as const;
  // Weights of 0: whatever the context, a module adds its bias.
  const path = join(folder, 'biases.safetensors');
  const biases = new Map<string, number>();
  await using(described(options).build({ replay }), async (run) => {
    await run.save(path);
    const { tensors: written, metadata } = openSafetensors(path);
    const tensors = new Map<string, Weight>();
    [...flat((await run.trainables())[0]!)].forEach(([name, values], i) => {
      const layer = name.replace(/\.linear\.0\.(weight|bias)$/, '');
      const bias = 0.05 + 0.001 * i;
      if (name.endsWith('bias')) biases.set(layer, bias);
      const data = values.map(() => (name.endsWith('bias') ? bias : 0));
      const { shape } = written.get(name)!;
      tensors.set(name, weightOf('f32', shape, new Uint8Array(data.buffer)));
    });
    await writeSafetensors(path, tensors, { metadata, force: true });
  });
  const lossWith = (shallowPenalty?: number, recompute = false) =>
    using(
      described({ ...options, ...(shallowPenalty !== undefined && { shallowPenalty }) })
        .initFrom(path)
        .with({ recompute })
        .build({ replay }),
      async (run) => (await reports(run, 1))[0]!.loss,
    );
  // tiny-sd has two transformer blocks on each of three levels down, one in the middle, three on each of three levels up.
  const depthOf = (layer: string): number => {
    const [, arm, level, place] =
      /^unet\.(down|up)_blocks\.(\d)\.attentions\.(\d)/.exec(layer) ?? [];
    if (arm === undefined) return 1;
    return arm === 'down'
      ? (2 * Number(level) + Number(place)) / 6
      : (8 - (3 * (Number(level) - 1) + Number(place))) / 9;
  };
  expect(biases.size).toBe(16 * 4);
  const expected =
    [...biases].reduce((sum, [layer, bias]) => sum + (1 - depthOf(layer)) * bias ** 2, 0) /
    biases.size;
  const plain = await lossWith();
  expect(((await lossWith(50)) - plain) / (50 * expected)).toBeCloseTo(1, 3);
  expect(((await lossWith(50, true)) - plain) / (50 * expected)).toBeCloseTo(1, 3);
});

test('the penalty restrains shallow layers and leaves the middle alone', async () => {
  const grown = (shallowPenalty: number) =>
    using(
      described({ modules: 'layer', activation: 'relu', shallowPenalty }).build({ replay }),
      async (run) => {
        await reports(run);
        const values = [...flat((await run.trainables())[0]!)];
        const of = (place: string) =>
          size(...values.filter(([name]) => name.startsWith(place)).map(([, own]) => own));
        return { shallow: of('unet.down_blocks.0'), deep: of('unet.mid_block') };
      },
    );
  const [free, held] = [await grown(0), await grown(1e4)];
  expect(held.shallow).toBeLessThan(0.9 * free.shallow);
  expect(held.deep / free.deep).toBeGreaterThan(0.95);
});

test('modules of single layers are drawn with from their own file, and have no .pt', async () => {
  await using(
    described({ modules: 'layer', activation: 'tanh' }).build({ replay }),
    async (run) => {
      await reports(run);
      const path = join(folder, 'layers.safetensors');
      await run.save(path);
      await expect(run.save(join(folder, 'layers.pt'))).rejects.toThrow(
        /is written as .safetensors, as A1111 has no place for modules of single layers/,
      );
      const base = await openBase(goldens('tiny-sd'));
      const learned = await hypernetworkKind.open(path, base);
      expect(learned.text).toMatch(/64 modules of single layers: 1, 2, 1, tanh; 5 steps/);
      const quick = { seed: 3, steps: 2, size: 64 };
      await using generator = await openGenerator(base, [learned]);
      const [own] = await run.generateWithLatents('a cup', quick);
      const [same] = await generator.generate('a cup', quick);
      same!.latents.data.forEach((x, i) => expect(x).toBeCloseTo(own!.latents.data[i]!, 4));
      const [none] = await generator.generate('a cup', { ...quick, strengths: [0] });
      expect([...none!.latents.data]).not.toEqual([...same!.latents.data]);
    },
  );
});

test('nothing else changes, whatever the weight decay, bit for bit', async () => {
  const { recipe, folder: recorded } = ownRun('activated-output');
  const run = await recipe
    .optimizer(adamw({ lr: 1e-2, weightDecay: 10 }))
    .build({ replay: `${recorded}/replay.safetensors` });
  const hash = (weight: Weight) => createHash('sha256').update(weight.read()).digest('hex');
  const before = new Map([...run.base.weights].map(([name, weight]) => [name, hash(weight)]));
  const trained = flat((await run.trainables())[0]!);
  const base = await openBase(goldens('tiny-sd'));
  const draw = async () => {
    const generator = await openGenerator(base, []);
    const [drawn] = await generator.generate('a cup', { seed: 3, steps: 2, size: 64 });
    await generator.dispose();
    return [...drawn!.latents.data];
  };
  const picture = await draw();
  await reports(run);
  expect(flat((await run.trainables())[0]!)).not.toEqual(trained);
  for (const [name, weight] of run.base.weights) expect(hash(weight), name).toBe(before.get(name));
  expect(await draw()).toEqual(picture);
  await run.dispose();
});
