/** @file A run of fifty steps on a backend beside the same on the cpu. */
import { expect } from 'vitest';
import { repetitions } from '../../../../vitest.long.ts';
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

type Recipe = Pipeline<'instance', 'instance'>;

export const SEED = 11;
const steps = repetitions(50, 2);

const stem = pipeline()
  .model(goldens('tiny-sd'))
  .data(images(pathOf('packages/nano/outline/train'), { resolution: 64 }))
  .batch(2)
  .seed(SEED);
export const recipes: Readonly<Record<'full fine-tuning' | 'a LoRA', Recipe>> = {
  'full fine-tuning': stem.method(fullFineTune()).optimizer(adamw({ lr: 1e-3 })),
  'a LoRA': stem.method(lora({ rank: 4 })).optimizer(adamw({ lr: 1e-3 })),
};

const losses = (recipe: Recipe, backend: Backend): Promise<number[]> =>
  using(recipe.build({ backend }), async (run) =>
    (await reports(run, steps)).map(({ loss }) => loss),
  );

/** The largest difference of a step's loss from the cpu's, and what there is to say of it. */
export async function apart(
  recipe: Recipe,
  backend: Backend,
): Promise<{ readonly difference: number; readonly said: string }> {
  const [wanted, got] = [await losses(recipe, cpu()), await losses(recipe, backend)];
  expect(got).toHaveLength(steps);
  const difference = Math.max(...got.map((loss, i) => Math.abs(loss - wanted[i]!)));
  const range = Math.max(...wanted) - Math.min(...wanted);
  return {
    difference,
    said: `${steps} steps, losses within ${difference.toExponential(1)} of the cpu's, which span ${range.toFixed(2)}`,
  };
}
