/** @file Every recorded run of another program, repeated on the reference backend; the tests of the methods repeat all of them on the cpu, and a few here and there. */
import { test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { reference } from '../../src/index.ts';
import { cases as dreamBooth } from '../../test/dreambooth/cases.ts';
import { expectTrajectory as expectFull } from '../../test/full/cases.ts';
import { names as full } from '../../test/full/names.ts';
import { expectTrajectory as expectHypernetwork, ownRun } from '../../test/hypernetwork/runs.ts';
import { cases as loras } from '../../test/lora/oracles.ts';
import { expectTraining } from '../../test/lora/trained.ts';
import { cases as words } from '../../test/replay/cases.ts';
import { expectTrajectory as expectWords } from '../../test/replay/trajectory.ts';
import { expectRun } from '../../test/support/recordedRun.ts';

const hypernetworks = ['dropout', 'activated-output', 'prelu', 'rrelu', 'softmax', 'resumed'];

const cases: readonly (readonly [name: string, repeat: () => Promise<void>])[] = [
  ...words.map((one) => [one.name, () => expectWords(one, reference)] as const),
  ...dreamBooth.map((one) => [one.name, () => expectRun(one, reference)] as const),
  ...full.map((name) => [`full: ${name}`, () => expectFull(name, reference)] as const),
  ...loras.map(
    ([name, one]) => [`LoRA: ${name}`, () => expectTraining(name, one, reference)] as const,
  ),
  ...hypernetworks.map(
    (name) => [`hypernetwork: ${name}`, () => expectHypernetwork(ownRun(name), reference)] as const,
  ),
];

test('recorded runs on the reference backend', async ({ task }) => {
  const count = repetitions(cases.length, 5);
  for (let i = 0; i < count; i++) {
    // A sample takes some of each method.
    const [name, repeat] = cases[Math.floor((i * cases.length) / count)]!;
    await repeat().catch((error: unknown) => {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    });
  }
  found(task, 0, `${count} of ${cases.length} runs within the tolerance of each`);
});
