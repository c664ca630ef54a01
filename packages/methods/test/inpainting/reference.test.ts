import { test } from 'vitest';
import { reference } from '../../src/index.ts';
import { expectRun } from '../support/recordedRun.ts';
import { inpainting } from './cases.ts';

test("diffusers' training of an inpainting model, repeated on the reference backend", () =>
  expectRun(inpainting, reference));
