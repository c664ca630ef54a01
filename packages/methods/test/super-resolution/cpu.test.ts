import { describe, test } from 'vitest';
import { cpu } from '../../src/index.ts';
import { expectRun } from '../support/recordedRun.ts';
import { cases } from './cases.ts';

describe('training by diffusers, repeated on the cpu', () => {
  test.for(cases)('$name', (one) => expectRun(one, cpu()));
});
