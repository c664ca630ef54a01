/** @file LoRA and its relatives as PEFT, LyCORIS and kohya's network train them. */
import { test } from 'vitest';
import { cpu } from '../../src/index.ts';
import { cases } from './oracles.ts';
import { expectTraining } from './trained.ts';

test.for(cases)('trained on cpu: %s', ([name, one]) => expectTraining(name, one, cpu()));
