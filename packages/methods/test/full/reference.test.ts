import { describe, test } from 'vitest';
import { reference } from '../../src/index.ts';
import { expectTrajectory } from './cases.ts';
import { large, names } from './names.ts';

describe('full fine-tuning as diffusers and kohya do it, on the reference backend', () => {
  test.for([...names, ...large])('%s', (name) => expectTrajectory(name, reference));
});
