/** @file Every recorded run of another program, repeated on webgpu, by default on a driver that computes on the processor. */
import { webgpu } from '@sdft/tensor/node';
import { test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { recorded, repeatAll } from './recorded.ts';

test('recorded runs on webgpu', async ({ task }) => {
  const count = repetitions(recorded.length);
  await repeatAll(count, () => webgpu());
  found(task, 0, `${count} of ${recorded.length} runs within the tolerance of each`);
});
