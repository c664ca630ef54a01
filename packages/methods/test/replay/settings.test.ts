/** @file The cases can tell: with one setting wrong, a run ends elsewhere. */
import { adamw, type Pipeline } from '../../src/index.ts';
import { expect, test } from 'vitest';
import { caseNamed, recipeOf, toleranceOf } from './cases.ts';
import { errorOf, recordOf, train } from './trajectory.ts';

interface Wrong {
  readonly folder: string;
  readonly what: string;
  readonly change: (recipe: Pipeline) => Pipeline;
}

const wrongs: readonly Wrong[] = [
  {
    folder: 'ti-cosine',
    what: 'a linear rate',
    change: (p) => p.schedule({ name: 'linear', warmup: 2 }),
  },
  {
    folder: 'ti-accumulate',
    what: 'no accumulation',
    change: (p) => p.accumulate(1).steps(6),
  },
  {
    folder: 'ti-sd2',
    what: 'noise predicted in place of v',
    change: (p) => p.with({ predictionType: 'epsilon' }),
  },
  {
    folder: 'ti-sd2',
    what: 'one period in place of two',
    change: (p) => p.schedule({ name: 'cosine-restarts', cycles: 1 }),
  },
  {
    folder: 'ti-decay',
    what: 'the usual weight decay',
    change: (p) =>
      p.optimizer(adamw({ lr: 2e-2, weightDecay: 0.01, beta1: 0.8, beta2: 0.95, epsilon: 1e-4 })),
  },
  {
    folder: 'ti-decay',
    what: 'the usual betas',
    change: (p) => p.optimizer(adamw({ lr: 2e-2, weightDecay: 0.1, epsilon: 1e-4 })),
  },
  {
    folder: 'ti-decay',
    what: 'the usual epsilon',
    change: (p) => p.optimizer(adamw({ lr: 2e-2, weightDecay: 0.1, beta1: 0.8, beta2: 0.95 })),
  },
  {
    folder: 'ti-polynomial',
    what: 'hardly clipped',
    change: (p) => p.clip(10, 'norm'),
  },
  {
    folder: 'ti-polynomial',
    what: 'power 1',
    change: (p) => p.schedule({ name: 'polynomial', warmup: 1 }),
  },
  { folder: 'ti-a1111-value', what: 'clip skip 1', change: (p) => p.with({ clipSkip: 1 }) },
  {
    folder: 'ti-a1111-value',
    what: 'clipped by norm',
    change: (p) => p.clip('0.004:3, 0.001', 'norm'),
  },
  {
    folder: 'ti-a1111-value',
    what: 'one limit for all steps',
    change: (p) => p.clip('0.004', 'value'),
  },
  {
    folder: 'ti-a1111-emphasis',
    what: 'another mean',
    change: (p) => p.with({ emphasis: 'no-norm' }),
  },
  {
    folder: 'ti-a1111-emphasis',
    what: 'no emphasis',
    change: (p) => p.with({ emphasis: 'ignore' }),
  },
];

test.for(wrongs)('$folder with $what is another run', async ({ folder, change }) => {
  const one = caseNamed(folder);
  const trained = await train(change(recipeOf(one)), { replay: recordOf(one) });
  // Far beyond what rounding does.
  expect(await errorOf(one, trained)).toBeGreaterThan(
    10 * toleranceOf(one).relative_error_of_update,
  );
});
