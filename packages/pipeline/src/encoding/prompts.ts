import type { Tokenizer } from '@sdft/models';
import type { NewToken } from '../contracts.ts';
import type { Base } from '../training/base.ts';

/** What happens to a prompt of more than 75 tokens: its end is cut off (diffusers), or it goes through the encoder in chunks (A1111). */
export type LongPrompts = 'truncate' | 'chunks';

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
}

/** Throws UserError where a taught word exists already. */
export function promptsOf(base: Base, words: readonly NewToken[], long: LongPrompts): Prompts {
  const { maxPositionEmbeddings: window, padTokenId: padId, vocabSize } = base.textEncoder;
  const tokenizer = words.reduce(
    (known, { token, vectors }) => known.withPlaceholder(token, vectors),
    base.tokenizer,
  );
  // Taught words follow the rows of the table, which may be more than the vocabulary's words.
  const unused = vocabSize - base.tokenizer.size;
  const rows = (ids: readonly number[]): number[] =>
    ids.map((id) => (id < base.tokenizer.size ? id : id + unused));
  const chunks = (prompt: string): number[][] =>
    tokenizer.encodeChunks(prompt, { length: window, padId });
  const padded = (prompt: string) => tokenizer.encodePadded(prompt, { length: window, padId });
  return {
    tokenizer,
    taught: words,
    window,
    windowsOf: (prompt) => (long === 'chunks' ? chunks(prompt).length : 1),
    cutOff: (prompt) => (long === 'chunks' ? undefined : padded(prompt).truncated),
    ids: (prompt, windows) => {
      const own = long === 'chunks' ? chunks(prompt) : [padded(prompt).ids];
      const [empty] = own.length < windows ? chunks('') : [];
      while (own.length < windows) own.push(empty!);
      return rows(own.flat());
    },
  };
}
