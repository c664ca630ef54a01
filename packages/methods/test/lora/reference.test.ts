/** @file A network of each program; the others are trained on the reference backend by test-long/replay/reference.test.ts. */
import { test } from 'vitest';
import { reference } from '../../src/index.ts';
import { cases } from './oracles.ts';
import { expectTraining } from './trained.ts';

const few = ['peft-dora', 'lycoris-lokr-both', 'kohya-dropout'];

test.for(cases.filter(([name]) => few.includes(name)))(
  'trained on the reference backend: %s',
  ([name, one]) => expectTraining(name, one, reference),
);
