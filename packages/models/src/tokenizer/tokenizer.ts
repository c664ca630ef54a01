import { UserError } from '@sdft/tensor';
import { type AddedToken, createEncoder, createMerger, type Merger } from './bytePairEncoding.ts';
import { isBreak, type WeightedText } from '../prompts/attention.ts';
import { chunkIds, type Piece, type WeightedChunk } from './chunks.ts';
import { pieceBytes, textAfter } from './truncation.ts';
import { endOfWord, endToken, startToken, type Vocabulary } from './vocabulary.ts';

/** Ids of a text, uncut, with start and end, and the piece of each id as the vocabulary writes it (`cat</w>`). */
export interface Encoding {
  readonly ids: number[];
  readonly pieces: string[];
}

export interface PaddedEncoding {
  /** Exactly `length` ids: start, text, end, padding. */
  readonly ids: number[];
  /** The part of the text that did not fit, as the text has it; undefined where everything fits. */
  readonly truncated: string | undefined;
}

export interface PaddingOptions {
  /** Number of ids with start and end; 77 unless told otherwise. */
  readonly length?: number;
  /** Id after the end token; the end token itself unless told otherwise (SD1). SD2 pads with 0. */
  readonly padId?: number;
}

export interface ChunkOptions extends PaddingOptions {
  /** A1111's "prompt word wrap length limit"; 20 unless told otherwise, 0 switches it off. */
  readonly commaBacktrack?: number;
}

/** CLIP's tokenizer over one vocabulary. Immutable. */
export interface Tokenizer {
  /** Number of ids, placeholders included: the next placeholder's first id. */
  readonly size: number;
  readonly startId: number;
  readonly endId: number;
  /** Ids of each placeholder, in the order in which they were added. */
  readonly placeholders: ReadonlyMap<string, readonly number[]>;
  /** Whole text, however long, between start and end. */
  encode(text: string): Encoding;
  /** Text cut and padded to the text encoder's length. */
  encodePadded(text: string, options?: PaddingOptions): PaddedEncoding;
  /** Text of any length as A1111 cuts it: chunks of `length` ids, broken after commas; a placeholder is never torn. */
  encodeChunks(text: string, options?: ChunkOptions): number[][];
  /** The same for parts of a text, each tokenized for itself, with a weight for the states of its tokens; a part that `isBreak` ends a chunk. */
  encodeWeighted(parts: readonly WeightedText[], options?: ChunkOptions): WeightedChunk[];
  /**
   * A tokenizer that knows one more word, of `vectors` ids numbered from `size` upward; all of them are inserted wherever the word
   * stands, whatever its case, also inside another word. As in diffusers, `token_1`, `token_2`, ... name the later vectors one by one.
   * @throws UserError where the word exists already, is empty or begins or ends with white space, or `vectors` is not 1..75
   */
  withPlaceholder(token: string, vectors: number): Tokenizer;
}

interface Placeholder {
  readonly token: string;
  readonly ids: readonly number[];
}

interface Parts {
  readonly vocabulary: Vocabulary;
  readonly merger: () => Merger;
  readonly size: number;
  readonly placeholders: readonly Placeholder[];
}

/**
 * A tokenizer over a vocabulary. The merge table is built at the first use and shared with every tokenizer derived from this one.
 * @throws UserError where start or end token is missing or an id is not a whole number
 */
export function createTokenizer(vocabulary: Vocabulary): Tokenizer {
  let merger: Merger | undefined;
  let highest = -1;
  for (const entries of [vocabulary.vocab, vocabulary.addedTokens ?? {}]) {
    for (const piece in entries) {
      const id = entries[piece]!;
      if (!Number.isSafeInteger(id) || id < 0) {
        throw new UserError(
          `vocabulary: the id of ${JSON.stringify(piece)} is ${String(id)}; expected a whole number from 0. The vocabulary file is damaged.`,
        );
      }
      if (id > highest) highest = id;
    }
  }
  return assemble({
    vocabulary,
    merger: () => (merger ??= createMerger(vocabulary)),
    size: highest + 1,
    placeholders: savedPlaceholders(vocabulary.addedTokens ?? {}),
  });
}

function assemble(parts: Parts): Tokenizer {
  const { vocabulary, size, placeholders } = parts;
  const startId = specialId(vocabulary, startToken);
  const endId = specialId(vocabulary, endToken);
  const added = addedTokens(placeholders, startId, endId);
  const contentOf = new Map(added.map(({ content, id }) => [id, content]));
  const vectorsOf = new Map(placeholders.map(({ ids }) => [ids[0], ids]));

  let encoder: ReturnType<typeof createEncoder> | undefined;
  /** Ids that stand together, and the bytes of text behind them. */
  const units = (text: string) => {
    encoder ??= createEncoder(parts.merger(), added);
    const { ids, tokens } = encoder(text);
    return ids.map((id, i) => {
      const token = tokens[i]!;
      const unit = vectorsOf.get(id) ?? [id];
      const bytes = contentOf.has(id) ? pieceBytes(token) : byteLength(token);
      return {
        ids: unit,
        pieces:
          unit.length > 1 ? unit.map((each) => contentOf.get(each)!) : [contentOf.get(id) ?? token],
        bytes,
      };
    });
  };

  return {
    size,
    startId,
    endId,
    placeholders: new Map(placeholders.map(({ token, ids }) => [token, ids])),

    encode(text) {
      const found = units(text);
      return {
        ids: [startId, ...found.flatMap(({ ids }) => ids), endId],
        pieces: [startToken, ...found.flatMap(({ pieces }) => pieces), endToken],
      };
    },

    encodePadded(text, { length = 77, padId = endId } = {}) {
      const capacity = checkedLength(length) - 2;
      const found = units(text);
      const all = found.flatMap(({ ids }) => ids);
      const ids = [startId, ...all.slice(0, capacity), endId];
      while (ids.length < length) ids.push(padId);
      if (all.length <= capacity) return { ids, truncated: undefined };

      let kept = 0;
      let keptBytes = 0;
      for (const unit of found) {
        kept += unit.ids.length;
        if (kept > capacity) break;
        keptBytes += unit.bytes;
      }
      return { ids, truncated: textAfter(text, keptBytes) };
    },

    encodeChunks(text, options) {
      return this.encodeWeighted([{ text, weight: 1 }], options).map(({ ids }) => [...ids]);
    },

    encodeWeighted(parts, { length = 77, padId = endId, commaBacktrack = 20 } = {}) {
      const capacity = checkedLength(length) - 2;
      const wide = placeholders.find(({ ids }) => ids.length > capacity);
      if (wide !== undefined) {
        throw new UserError(
          `placeholder ${JSON.stringify(wide.token)} has ${wide.ids.length} vectors, but a chunk of ${length} tokens holds ${capacity}. Use fewer vectors.`,
        );
      }
      const pieces = parts.flatMap((part): Piece[] =>
        isBreak(part)
          ? ['break']
          : units(part.text).map(({ ids }) => ({ ids, weight: part.weight })),
      );
      const commaId = vocabulary.vocab[`,${endOfWord}`];
      return chunkIds(pieces, { startId, endId, padId, commaId, length, commaBacktrack });
    },

    withPlaceholder(token, vectors) {
      checkPlaceholder(parts, token, vectors);
      const ids = Array.from({ length: vectors }, (_, i) => size + i);
      return assemble({
        ...parts,
        size: size + vectors,
        placeholders: [...placeholders, { token, ids }],
      });
    },
  };
}

/** Names of a placeholder's vectors, as diffusers has them: `tok`, `tok_1`, `tok_2`, ... */
export function vectorNames(token: string, vectors: number): string[] {
  return Array.from({ length: vectors }, (_, i) => (i === 0 ? token : `${token}_${i}`));
}

/** Tokens saved with a vocabulary as placeholders: `tok`, `tok_1`, `tok_2`, ... are the vectors of one. */
function savedPlaceholders(addedTokens: Readonly<Record<string, number>>): Placeholder[] {
  const left = new Map(Object.entries(addedTokens).sort((a, b) => a[1] - b[1]));
  left.delete(startToken);
  left.delete(endToken);
  const placeholders: Placeholder[] = [];
  for (const [token, id] of left) {
    const ids = [id];
    for (let name = `${token}_1`; left.has(name); name = `${token}_${ids.length}`) {
      ids.push(left.get(name)!);
      left.delete(name);
    }
    placeholders.push({ token, ids });
  }
  return placeholders;
}

function addedTokens(
  placeholders: readonly Placeholder[],
  startId: number,
  endId: number,
): AddedToken[] {
  return [
    { content: startToken, id: startId, special: true },
    { content: endToken, id: endId, special: true },
    ...placeholders.flatMap(({ token, ids }) =>
      vectorNames(token, ids.length).map((content, i) => ({
        content,
        id: ids[i]!,
        special: false,
      })),
    ),
  ];
}

function specialId({ vocab, addedTokens }: Vocabulary, token: string): number {
  const id = vocab[token] ?? addedTokens?.[token];
  if (id === undefined) {
    throw new UserError(
      `vocabulary: ${token} is missing among ${Object.keys(vocab).length} entries. This is not the vocabulary of a CLIP text encoder.`,
    );
  }
  return id;
}

/** UTF-8 bytes behind a piece: one character each. */
function byteLength(piece: string): number {
  return piece.endsWith(endOfWord) ? piece.length - endOfWord.length : piece.length;
}

function checkedLength(length: number): number {
  if (!Number.isSafeInteger(length) || length < 3) {
    throw new UserError(
      `length of a tokenized text: expected a whole number of at least 3, got ${length}.`,
    );
  }
  return length;
}

/** As the text is normalized before placeholders are looked for. */
function normalized(text: string): string {
  return text
    .normalize('NFC')
    .replace(/\p{White_Space}+/gu, ' ')
    .toLowerCase();
}

function checkPlaceholder(
  { vocabulary, placeholders }: Parts,
  token: string,
  vectors: number,
): void {
  const quoted = JSON.stringify(token);
  if (token === '' || token !== token.trim()) {
    throw new UserError(
      `placeholder ${quoted}: it must not be empty or begin or end with white space. Use a name such as "<cat>".`,
    );
  }
  if (!Number.isSafeInteger(vectors) || vectors < 1 || vectors > 75) {
    throw new UserError(
      `placeholder ${quoted}: vectors must be a whole number from 1 to 75 (a prompt holds 75 tokens), got ${vectors}.`,
    );
  }
  const names = placeholders.flatMap((each) => vectorNames(each.token, each.ids.length));
  for (const name of vectorNames(token, vectors)) {
    const taken = [name, normalized(name)].find((form) => Object.hasOwn(vocabulary.vocab, form));
    const known = names.find((other) => normalized(other) === normalized(name));
    if (taken !== undefined || known !== undefined) {
      throw new UserError(
        `placeholder ${quoted}: ${JSON.stringify(known ?? taken)} is in the vocabulary already. Choose a name that is no word or part of one, such as "<${token.replace(/[<>]/g, '')}-1>".`,
      );
    }
  }
  // Other tools take tok_1 for the second vector of tok.
  const confused = placeholders.find(
    (other) =>
      isVectorName(normalized(other.token), normalized(token)) ||
      isVectorName(normalized(token), normalized(other.token)),
  );
  if (confused !== undefined) {
    throw new UserError(
      `placeholder ${quoted} and ${JSON.stringify(confused.token)} differ by a number alone, which names one vector of the other. Choose another name.`,
    );
  }
}

/** Whether `name` is `token` and a vector's number. */
function isVectorName(name: string, token: string): boolean {
  return name.startsWith(`${token}_`) && /^\d+$/.test(name.slice(token.length + 1));
}
