import { describe, test } from 'vitest';
import { cpu } from '../../src/index.ts';
import { expectTrajectory } from './cases.ts';
import { names } from './names.ts';

describe('full fine-tuning as diffusers and kohya do it, on the cpu', () => {
  test.for(names)('%s', (name) => expectTrajectory(name, cpu()));
});
