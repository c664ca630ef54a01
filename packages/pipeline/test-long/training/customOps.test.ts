/** @file Custom operations in whole runs, on the backends that take longer. */
import { reference } from '@sdft/tensor';
import { webgpu } from '@sdft/tensor/node';
import { test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { expectAlike } from '../../test/support/customOps.ts';

test('an adapter with a custom operation trains on webgpu and reference as on cpu', async ({
  task,
}) => {
  const steps = repetitions(50, 1);
  await expectAlike(webgpu(), { steps, draw: true });
  const few = repetitions(5, 1);
  await expectAlike(reference, { steps: few, draw: false });
  found(task, 3, `losses within 5e-5 of cpu's: ${steps} steps on webgpu, ${few} on reference`);
});
