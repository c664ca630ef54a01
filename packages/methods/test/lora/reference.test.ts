/** @file LoRA and its relatives as PEFT, LyCORIS and kohya's network train them. */
import { reference } from '../../src/index.ts';
import { expectTrainings } from './trained.ts';

expectTrainings('the reference backend', () => reference);
