/** @file Fifty steps of training on webgpu beside the same on the cpu: the same losses, step by step. */
import { webgpu } from '@sdft/tensor/node';
import { expect, test } from 'vitest';
import { found } from '../../../../vitest.long.ts';
import { apart, recipes, SEED } from './curves.ts';

test.for(['full fine-tuning', 'a LoRA'] as const)('%s on webgpu', async (method, { task }) => {
  const { difference, said } = await apart(recipes[method], webgpu());
  found(task, SEED, said);
  expect(difference).toBeLessThan(1e-3);
});
