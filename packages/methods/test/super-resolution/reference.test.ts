import { describe, expect, test } from 'vitest';
import { reference, superResolve } from '../../src/index.ts';
import { json, pathOf } from '../support/fixtures.ts';
import { expectRun, train } from '../support/recordedRun.ts';
import { cases } from './cases.ts';

describe('training by diffusers, repeated on the reference backend', () => {
  test.for(cases)('$name', (one) => expectRun(one, reference));
});

test('noise of another level is another run', async () => {
  const one = cases[0]!;
  const louder = one.stem.objective(superResolve({ augmentation: 2e-3 })).steps(1);
  const { said } = await train(one, louder, reference);
  const { micro_steps: expected } = json<{ micro_steps: { loss: number }[] }>(
    pathOf(`${one.folder}/loss.json`),
  );
  expect(Math.abs(said[0]!.loss - expected[0]!.loss)).toBeGreaterThan(1e-3);
});
