/** @file The golden run; the other cases are repeated on the reference backend by test-long/replay/reference.test.ts. */
import { describe, test } from 'vitest';
import { reference } from '../../src/index.ts';
import { expectRun } from '../support/recordedRun.ts';
import { cases } from './cases.ts';

const goldens = cases.filter(({ folder }) => folder.startsWith('fixtures/goldens/'));

describe("runs of diffusers' script, repeated on the reference backend", () => {
  test.for(goldens)('$name', (one) => expectRun(one, reference));
});
