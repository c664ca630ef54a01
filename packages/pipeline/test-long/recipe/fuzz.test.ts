import { draws } from '@sdft/tensor';
import { expect, test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { parseRecipe, recipeYaml } from '../../src/index.ts';
import { registry } from '../../test/recipe/registry.ts';

const SEED = 17;
const odd: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1,
  2.5,
  1e308,
  Number.NaN,
  '',
  ' ',
  'adamw',
  'low-rank',
  '{}',
  '64x64',
  '5e-3:100, 1e-3',
  'cosine',
  [],
  ['a'],
  [[]],
  {},
  { name: 'low-rank' },
  { name: 'denoise', snrGamma: 5 },
  { images: 'a' },
  { lr: 1, name: 'sgd' },
  { __proto__: null, a: 1 },
]; // prettier-ignore
const keys: readonly string[] = [
  'base',
  'method',
  'rank',
  'targets',
  'adapters',
  'objective',
  'flavour',
  'data',
  'optimizer',
  'clip',
  'clipMode',
  'schedule',
  'steps',
  'batch',
  'accumulate',
  'seed',
  'latentSampling',
  'clipSkip',
  'longPrompts',
  'recompute',
  'initFrom',
  'save',
  'preview',
  'toString',
  '__proto__',
  'constructor',
  'x',
]; // prettier-ignore

test('whatever a recipe holds, it is accepted or refused in words', ({ task }) => {
  const rounds = repetitions(200_000, 2000);
  const random = draws(SEED);
  let accepted = 0;
  for (let round = 0; round < rounds; round++) {
    const pick = random.integers('pick', round, [16], 2 ** 31).data;
    const recipe: Record<string, unknown> = { base: 'nano', method: 'low-rank', rank: 2 };
    for (let i = 0; i < 1 + (pick[0]! % 5); i++) {
      const key = keys[pick[2 * i + 1]! % keys.length]!;
      Object.defineProperty(recipe, key, {
        value: odd[pick[2 * i + 2]! % odd.length],
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
    try {
      const parsed = parseRecipe(recipe, registry);
      accepted++;
      expect(parseRecipe(recipeYaml(parsed), registry)).toEqual(parsed);
    } catch (error) {
      expect(error, JSON.stringify(recipe)).toMatchObject({ name: 'UserError' });
      expect((error as Error).message).not.toMatch(/undefined|\[object|Invalid input/);
    }
  }
  expect(accepted).toBeGreaterThan(0);
  found(
    task,
    SEED,
    `${rounds} recipes, ${accepted} accepted and equal after YAML, the others refused in words`,
  );
});
