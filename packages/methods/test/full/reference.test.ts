/** @file A few cases; the others are trained on the reference backend by test-long/replay/reference.test.ts. */
import { describe, test } from 'vitest';
import { reference } from '../../src/index.ts';
import { expectTrajectory } from './cases.ts';

describe('full fine-tuning as diffusers and kohya do it, on the reference backend', () => {
  test.for(['text-encoder', 'blocks'])('%s', (name) => expectTrajectory(name, reference));
});
