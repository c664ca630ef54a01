/** @file The goldens; the other cases are repeated on the reference backend by test-long/replay/reference.test.ts. */
import { reference } from '../../src/index.ts';
import { describe, test } from 'vitest';
import { cases } from './cases.ts';
import { expectTrajectory } from './trajectory.ts';

const goldens = cases.filter(({ folder }) => folder.startsWith('goldens/'));

describe('runs of the reference programs, repeated on the reference backend', () => {
  test.for(goldens)('$name', (one) => expectTrajectory(one, reference));
});
