/** @file Emphasis in prompts: `(more)`, `[less]`, `(this much:1.3)`, `BREAK`. Source: A1111 `modules/prompt_parser.py`, `parse_prompt_attention`. */
import { UserError } from '@sdft/tensor';

/** A part of a prompt, and how much it counts: 1 is usual. The part `BREAK` of weight -1 is no text: a new chunk begins there. */
export interface WeightedText {
  readonly text: string;
  readonly weight: number;
}

export const isBreak = ({ text, weight }: WeightedText): boolean =>
  text === 'BREAK' && weight === -1;

const round = 1.1;
const square = 1 / 1.1;

const token = /\\[()[\]\\]?|[([]|:\s*([+-]?[.\d]+)\s*\)|[)\]]|[^\\()[\]:]+|:/g;
/** A word by the letters of every script, which JavaScript's own `\b` does not know. */
const breaks = /\s*(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])\s*/u;

/**
 * The parts of a prompt with their weights. Neighbours of one weight are one part; what is not closed holds to the end; brackets that open nothing are text. Inside
 * brackets `BREAK` is a word, as there.
 *
 * @returns at least one part
 * @throws UserError where a weight is no number (`(a:1.2.3)`)
 */
export function parseAttention(prompt: string): WeightedText[] {
  const parts: { text: string; weight: number }[] = [];
  const open: Record<'(' | '[', number[]> = { '(': [], '[': [] };
  const multiply = (from: number, factor: number): void => {
    for (const part of parts.slice(from)) part.weight *= factor;
  };
  for (const [found, weight] of prompt.matchAll(token)) {
    if (found.startsWith('\\')) parts.push({ text: found.slice(1), weight: 1 });
    else if (found === '(' || found === '[') open[found].push(parts.length);
    else if (weight !== undefined && open['('].length > 0)
      multiply(open['('].pop()!, numberOf(weight, prompt));
    else if (found === ')' && open['('].length > 0) multiply(open['('].pop()!, round);
    else if (found === ']' && open['['].length > 0) multiply(open['['].pop()!, square);
    else
      for (const [i, text] of found.split(breaks).entries()) {
        if (i > 0) parts.push({ text: 'BREAK', weight: -1 });
        parts.push({ text, weight: 1 });
      }
  }
  for (const from of open['(']) multiply(from, round);
  for (const from of open['[']) multiply(from, square);

  const merged: { text: string; weight: number }[] = [];
  for (const { text, weight } of parts) {
    const last = merged.at(-1);
    if (last?.weight === weight) last.text += text;
    else merged.push({ text, weight });
  }
  return merged.length > 0 ? merged : [{ text: '', weight: 1 }];
}

function numberOf(text: string, prompt: string): number {
  const value = Number(text);
  if (Number.isNaN(value))
    throw new UserError(
      `prompt ${JSON.stringify(prompt)}: the weight ${text} is no number; write (word:1.2), or \\( and \\) for brackets that are meant`,
    );
  return value;
}
