import { UserError } from '@sdft/tensor';

/** What a CLIP tokenizer is made of: the content of `vocab.json` and `merges.txt`. */
export interface Vocabulary {
  /** Piece to id. A piece that ends a word carries `</w>`; bytes outside printable ASCII appear as the stand-ins of `byteSymbols`. */
  readonly vocab: Readonly<Record<string, number>>;
  /** Merge rules `left right`, most urgent first. */
  readonly merges: readonly string[];
  /** Tokens that were added to the vocabulary later (`added_tokens.json`), with their ids; start and end may be among them. */
  readonly addedTokens?: Readonly<Record<string, number>>;
}

export const startToken = '<|startoftext|>';
export const endToken = '<|endoftext|>';
export const endOfWord = '</w>';

/**
 * Reads the text of a `merges.txt`.
 * @param file name shown in errors
 * @throws UserError for a line that is not two pieces
 */
export function parseMerges(text: string, file = 'merges.txt'): string[] {
  const lines = text.split(/\r?\n/);
  const merges: string[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === '' || (index === 0 && line.startsWith('#version'))) continue;
    if (!/^\S+ \S+$/.test(line)) {
      throw new UserError(
        `${file}, line ${index + 1}: expected two pieces with one space between them, found ${JSON.stringify(line.slice(0, 60))}. The file is damaged or is not a byte-pair merge list.`,
      );
    }
    merges.push(line);
  }
  return merges;
}

/**
 * The 256 bytes as printable characters, in the order in which they are numbered: bytes that print stand for themselves,
 * the others are shifted to U+0100 and up. Source: `bytes_to_unicode` of OpenAI's GPT-2 and CLIP tokenizers.
 */
export function byteSymbols(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  return [
    ...bytes.filter(printable).map((byte) => String.fromCodePoint(byte)),
    ...bytes.filter((byte) => !printable(byte)).map((_, i) => String.fromCodePoint(256 + i)),
  ];
}

/**
 * The vocabulary that follows from a list of merges, numbered as CLIP numbers it: 256 bytes, 256 bytes that end a word,
 * one piece per merge, start, end. Source: `SimpleTokenizer` in OpenAI CLIP.
 */
export function vocabularyFromMerges(merges: readonly string[]): Vocabulary {
  const bytes = byteSymbols();
  const pieces = [
    ...bytes,
    ...bytes.map((symbol) => symbol + endOfWord),
    ...merges.map((merge) => merge.replace(' ', '')),
    startToken,
    endToken,
  ];
  return { vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])), merges };
}
