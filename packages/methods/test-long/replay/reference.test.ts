/** @file Every recorded run of another program, repeated on the reference backend; the tests of the methods repeat all of them on the cpu, and a few here and there. */
import { test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { reference } from '../../src/index.ts';
import { recorded, repeatAll } from './recorded.ts';

test('recorded runs on the reference backend', async ({ task }) => {
  const count = repetitions(recorded.length, 5);
  await repeatAll(count, () => reference);
  found(task, 0, `${count} of ${recorded.length} runs within the tolerance of each`);
});
