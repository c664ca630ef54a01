/** @file Fifty steps of training on webgpu beside the same on the cpu: the same losses, step by step. */
import { webgpu } from '@sdft/tensor/node';
import { expect, test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import {
  adamw,
  type Backend,
  cpu,
  fullFineTune,
  images,
  lora,
  type Pipeline,
  pipeline,
} from '../../src/index.ts';
import { goldens, pathOf, reports, using } from '../../test/support/fixtures.ts';

const SEED = 11;
const steps = repetitions(50, 2);

const stem = pipeline()
  .model(goldens('tiny-sd'))
  .data(images(pathOf('packages/nano/outline/train'), { resolution: 64 }))
  .batch(2)
  .seed(SEED);
const full = stem.method(fullFineTune()).optimizer(adamw({ lr: 1e-3 }));
const adapter = stem.method(lora({ rank: 4 })).optimizer(adamw({ lr: 1e-3 }));

const losses = (recipe: Pipeline<'instance', 'instance'>, backend: Backend): Promise<number[]> =>
  using(recipe.build({ backend }), async (run) =>
    (await reports(run, steps)).map(({ loss }) => loss),
  );

/** The largest difference of a step, and the largest change over the run of the cpu's losses. */
async function apart(
  recipe: Pipeline<'instance', 'instance'>,
  backend: Backend,
): Promise<[number, number]> {
  const [wanted, got] = [await losses(recipe, cpu()), await losses(recipe, backend)];
  expect(got).toHaveLength(steps);
  const difference = Math.max(...got.map((loss, i) => Math.abs(loss - wanted[i]!)));
  return [difference, Math.max(...wanted) - Math.min(...wanted)];
}
const said = ([difference, range]: [number, number]): string =>
  `${steps} steps, losses within ${difference.toExponential(1)} of the cpu's, which span ${range.toFixed(2)}`;

test('full fine-tuning on webgpu', async ({ task }) => {
  const result = await apart(full, webgpu());
  found(task, SEED, said(result));
  expect(result[0]).toBeLessThan(1e-3);
});

test('a LoRA on webgpu', async ({ task }) => {
  const result = await apart(adapter, webgpu());
  found(task, SEED, said(result));
  expect(result[0]).toBeLessThan(1e-3);
});
