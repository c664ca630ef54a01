/** @file What is drawn with each method: `npm start` and the learning benchmark draw the same. */
import { readFileSync } from 'node:fs';
import { prompts } from './folders.ts';

/** What prompts call the hand that is learned, where a run teaches no word of its own. */
export const WORD = 'outline';
/** Pictures of each prompt. */
export const PICTURES = 2;
export const SAMPLER_STEPS = 25;
/** Lines of the prompts that the quick one draws: single persons, which the base draws well. */
const QUICK_LINES = [0, 3, 4, 6];

/** What is drawn with each. */
export function promptsOf(quick: boolean): string[] {
  const lines = readFileSync(prompts, 'utf8').trimEnd().split('\n');
  return quick ? QUICK_LINES.map((i) => lines[i]!) : lines;
}
