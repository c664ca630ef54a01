import { reference } from '../../src/index.ts';
import { describe, test } from 'vitest';
import { cases } from './cases.ts';
import { expectTrajectory } from './trajectory.ts';

describe('runs of the reference programs, repeated on the reference backend', () => {
  test.for(cases)('$name', (one) => expectTrajectory(one, reference));
});
