import { type Emphasis, readPrompt, type Tokenizer, type WeightedChunk } from '@sdft/models';
import type { NewToken } from '../contracts.ts';
import type { Base } from '../training/base.ts';

/** What happens to a prompt of more than 75 tokens: its end is cut off (diffusers), or it goes through the encoder in chunks (A1111). */
export type LongPrompts = 'truncate' | 'chunks';

/** How prompts are read: as plain text, or as A1111 reads them (emphasis, BREAK; always in chunks). */
export const promptSyntaxes = ['plain', 'a1111'] as const;
export type PromptSyntax = (typeof promptSyntaxes)[number];

/** How prompts are read; the names are those of recipes. */
export interface Reading {
  readonly longPrompts: LongPrompts;
  /** Default `plain`. */
  readonly promptSyntax?: PromptSyntax | undefined;
  /** What weights do, with the syntax `a1111`. Default `original`. */
  readonly emphasis?: Emphasis | undefined;
}

/** Prompts to ids, with the words that adapters teach. */
export interface Prompts {
  /** Knows the taught words. */
  readonly tokenizer: Tokenizer;
  /** The words that adapters teach. */
  readonly taught: readonly NewToken[];
  /** Ids in one window of the text encoder. */
  readonly window: number;
  /** Windows that a prompt needs; 1 where long prompts are cut. */
  windowsOf(prompt: string): number;
  /** The part of a prompt that is cut off. */
  cutOff(prompt: string): string | undefined;
  /** Ids of a prompt, this many windows of them; those that it does not need are empty ones. */
  ids(prompt: string, windows: number): number[];
  /** What the states of those ids are multiplied by, where that is not 1 throughout. */
  multipliers(prompt: string, windows: number): number[] | undefined;
}

/** Prompts whose ids are kept: of 77 numbers each, some ten megabytes. */
const MOST_KNOWN = 20_000;

/** Throws UserError where a taught word exists already. */
export function promptsOf(
  base: Base,
  words: readonly NewToken[],
  { longPrompts, promptSyntax = 'plain', emphasis = 'original' }: Reading,
): Prompts {
  const { maxPositionEmbeddings: window, padTokenId: padId, vocabSize } = base.textEncoder;
  const tokenizer = words.reduce(
    (known, { token, vectors }) => known.withPlaceholder(token, vectors),
    base.tokenizer,
  );
  // Taught words follow the rows of the table, which may be more than the vocabulary's words.
  const unused = vocabSize - base.tokenizer.size;
  const rows = (ids: readonly number[]): number[] =>
    ids.map((id) => (id < base.tokenizer.size ? id : id + unused));
  const options = { length: window, padId };
  const padded = (prompt: string) => tokenizer.encodePadded(prompt, options);
  const cut = promptSyntax === 'plain' && longPrompts === 'truncate';
  const chunks = (prompt: string): readonly WeightedChunk[] => {
    if (cut) return [{ ids: padded(prompt).ids, multipliers: Array<number>(window).fill(1) }];
    return readPrompt(tokenizer, prompt, promptSyntax === 'plain' ? 'none' : emphasis, options);
  };
  const filled = (prompt: string, windows: number): readonly WeightedChunk[] => {
    const own = chunks(prompt);
    const missing = Math.max(0, windows - own.length);
    return [...own, ...Array.from({ length: missing }, () => chunks('')[0]!)];
  };
  /** Ids of prompts that were asked for before: a run sees the same captions again and again. */
  const known = new Map<string, number[]>();
  const ids = (prompt: string, windows: number): number[] => {
    const key = `${windows} ${prompt}`;
    const found = known.get(key) ?? rows(filled(prompt, windows).flatMap((chunk) => chunk.ids));
    if (known.size < MOST_KNOWN) known.set(key, found);
    return found;
  };
  return {
    tokenizer,
    taught: words,
    window,
    windowsOf: (prompt) => (cut ? 1 : chunks(prompt).length),
    cutOff: (prompt) => (cut ? padded(prompt).truncated : undefined),
    ids,
    multipliers: (prompt, windows) => {
      const all = filled(prompt, windows).flatMap(({ multipliers }) => multipliers);
      return all.every((multiplier) => multiplier === 1) ? undefined : all;
    },
  };
}
