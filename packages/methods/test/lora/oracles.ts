/** @file What PEFT, LyCORIS and kohya's network made of goldens/tiny-sd (tools/lora/make_fixtures.py). */
import type { LoraOptions } from '../../src/index.ts';
import { json, pathOf } from '../support/fixtures.ts';

export interface Case {
  readonly tool: 'peft' | 'lycoris' | 'kohya';
  readonly options: Partial<LoraOptions>;
  readonly targets: readonly string[];
  readonly dropped: boolean;
  readonly weightDecay: number;
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  readonly noise: { readonly update: number; readonly loss: number };
}
/** A file of fixtures/lora. */
export const at = (file: string): string => pathOf(`fixtures/lora/${file}`);
export const cases = Object.entries(json<Record<string, Case>>(at('cases.json')));
