import { expect, test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { fuzz } from '../../test/checkpoint/fuzz.ts';

test('damaged checkpoint files are refused or read, soon, in bounded memory', async ({ task }) => {
  const seed = 1;
  const { inputs, refused, read, slowestMs, largestGrowthMB } = await fuzz(
    repetitions(300_000),
    seed,
  );
  expect(refused).toBeGreaterThan(inputs / 2);
  found(
    task,
    seed,
    `${inputs} inputs: ${refused} refused, ${read} read, slowest ${slowestMs} ms, memory grew by ${largestGrowthMB} MB at most`,
  );
});
