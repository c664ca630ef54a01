import { Tokenizer } from '@huggingface/tokenizers';
import { internal } from '@sdft/tensor';
import { endOfWord, endToken, type Vocabulary } from './vocabulary.ts';

/** A token that is found in the text as it stands, before it is cut into pieces. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** True: looked for in the raw text. False: its normalized form (lower case) is looked for in the normalized text. */
  readonly special: boolean;
}

/** Pieces of a text and their ids, without start and end. */
export interface Pieces {
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
}

/** The merge rules of one vocabulary, ready to use: the costly part, built once and shared. Opaque: the library's model. */
export type Merger = object;

/** The part of the library's class that is used here; its own declarations do not resolve under `nodenext`. */
interface LibraryTokenizer {
  model: Merger | null;
  encode(text: string, options: { add_special_tokens: boolean }): Pieces;
}

/** Builds the merge table. About 60 ms for CLIP's 48,894 merges, nearly all of it the library's map of pairs. */
export function createMerger({ vocab, merges }: Vocabulary): Merger {
  const { model } = libraryTokenizer([], vocab, merges);
  if (model === null) throw internal('the tokenizer library made no model');
  return model;
}

/**
 * A function from text to pieces, as `CLIPTokenizer` of transformers 5 has it: NFC, runs of white space become one space,
 * lower case; added tokens are matched leftmost and longest, also inside words.
 * @param merger shared merge table
 * @param addedTokens tokens found in the text as they stand
 */
export function createEncoder(
  merger: Merger,
  addedTokens: readonly AddedToken[],
): (text: string) => Pieces {
  const library = libraryTokenizer(addedTokens, {}, []);
  library.model = merger;
  return (text) => library.encode(text, { add_special_tokens: false });
}

// CLIP cuts words by this pattern; its tokenizer in transformers then applies GPT-2's byte-level pattern to each word.
const clipWords = String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;
const byteLevelWords = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const split = (Regex: string) => ({
  type: 'Split',
  pattern: { Regex },
  behavior: 'Removed',
  invert: true,
});

function libraryTokenizer(
  addedTokens: readonly AddedToken[],
  vocab: Vocabulary['vocab'],
  merges: Vocabulary['merges'],
): LibraryTokenizer {
  return new Tokenizer(
    {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens.map(({ content, id, special }) => ({
        id,
        content,
        special,
        normalized: !special,
        single_word: false,
        lstrip: false,
        rstrip: false,
      })),
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'NFC' },
          { type: 'Replace', pattern: { Regex: String.raw`\s+` }, content: ' ' },
          // JavaScript writes a sigma at the end of a word as U+03C2; the reference lowers letter by letter.
          { type: 'Replace', pattern: { String: 'Σ' }, content: 'σ' },
          { type: 'Lowercase' },
        ],
      },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          split(clipWords),
          split(byteLevelWords),
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      post_processor: null,
      decoder: null,
      model: { type: 'BPE', unk_token: endToken, end_of_word_suffix: endOfWord, vocab, merges },
    },
    { tokenizer_class: 'CLIPTokenizer' },
  );
}
