import { describe, expect, test } from 'vitest';
import { cpu, dreamBooth, type Pipeline } from '../../src/index.ts';
import { json, pathOf } from '../support/fixtures.ts';
import { expectRun, train } from '../support/recordedRun.ts';
import { cases } from './cases.ts';

describe("runs of diffusers' script, repeated on the cpu", () => {
  test.for(cases)('$name', (one) => expectRun(one, cpu()));
});

/** Recipes that differ from a case in one thing, which the case must be able to tell. */
const wrongs: readonly [string, string, (stem: Pipeline) => Pipeline][] = [
  ['db_prior', 'no prior', (stem) => stem.method(dreamBooth())],
  ['text', 'the whole prior', (stem) => stem.method(dreamBooth({ classPrompt: 'a person' }))],
  [
    'snr',
    'no bound on the weights',
    (stem) => stem.method(dreamBooth({ classPrompt: 'a person', noiseOffset: 0.1 })),
  ],
];

test.for(wrongs)('%s with %s is another run', async ([name, , change]) => {
  const one = cases.find(({ folder }) => folder.endsWith(name))!;
  const { said } = await train(one, change(one.stem).steps(1), cpu());
  const { micro_steps: expected } = json<{ micro_steps: { loss: number }[] }>(
    pathOf(`${one.folder}/loss.json`),
  );
  expect(Math.abs(said[0]!.losses[0]! - expected[0]!.loss)).toBeGreaterThan(0.01);
});
