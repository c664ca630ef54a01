import { describe, test } from 'vitest';
import { reference } from '../../src/index.ts';
import { expectRun } from '../support/recordedRun.ts';
import { cases } from './cases.ts';

describe("runs of diffusers' script, repeated on the reference backend", () => {
  test.for(cases)('$name', (one) => expectRun(one, reference));
});
