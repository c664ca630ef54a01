/** @file LoRA and its relatives as PEFT, LyCORIS and kohya's network train them. */
import { cpu } from '../../src/index.ts';
import { expectTrainings } from './trained.ts';

expectTrainings('cpu', () => cpu());
