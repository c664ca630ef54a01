/** @file The same with activations and frozen weights in f16, on a device that has it: SwiftShader, which the other tests run on, has not. */
import { inspectWebgpu, webgpu } from '@sdft/tensor/node';
import { expect, test } from 'vitest';
import { found } from '../../../../vitest.long.ts';
import { apart, recipes, SEED } from './curves.ts';

// The system's own choice: a card, or lavapipe.
delete process.env['VK_DRIVER_FILES'];

test.for(['full fine-tuning', 'a LoRA'] as const)(
  '%s on webgpu, in f16',
  async (method, { task }) => {
    const device = await inspectWebgpu();
    const half = 'target' in device && device.target.f16;
    const { difference, said } = await apart(recipes[method], webgpu({ precision: 'f16' }));
    found(task, SEED, `${said}${half ? '' : '; stored in f32, as the device has no f16'}`);
    // Every activation is rounded to 11 bits, by up to a part in 4,096, and fifty updates add up; 7e-4 has been seen.
    expect(difference).toBeLessThan(3e-3);
  },
);
