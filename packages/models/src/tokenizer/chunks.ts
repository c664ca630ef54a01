/** What one place of a text turns into: one id, or the n ids of a placeholder, which stay together. */
export type Unit = readonly number[];

export interface ChunkLayout {
  readonly startId: number;
  readonly endId: number;
  /** Id after the first end token of a chunk: the end token itself in SD1, 0 (`!`) in SD2. */
  readonly padId: number;
  /** Id of a comma that ends a word; undefined where the vocabulary has none. */
  readonly commaId: number | undefined;
  /** Ids of one chunk with start and end. */
  readonly length: number;
  /** How many ids back a comma may be for the text after it to move to the next chunk as a whole; 0: never. */
  readonly commaBacktrack: number;
}

/** A unit and its weight, or the end of a chunk. */
export type Piece = { readonly ids: Unit; readonly weight: number } | 'break';

/** `length` ids, and as many multipliers of their states: 1 for start, end and padding. */
export interface WeightedChunk {
  readonly ids: readonly number[];
  readonly multipliers: readonly number[];
}

/**
 * Cuts a text of any length into chunks `start, length - 2 ids, end`, breaking after a comma where one is near the end of a chunk.
 * At least one chunk; each exactly `length` long. Source: A1111 `modules/sd_hijack_clip.py`, `tokenize_line` and `process_tokens`.
 */
export function chunkIds(pieces: Iterable<Piece>, layout: ChunkLayout): WeightedChunk[] {
  const capacity = layout.length - 2;
  const chunks: WeightedChunk[] = [];
  let ids: number[] = [];
  let weights: number[] = [];
  let lastComma = -1;
  const close = () => {
    chunks.push(paddedChunk(ids, weights, layout));
    ids = [];
    weights = [];
    lastComma = -1;
  };

  for (const piece of pieces) {
    if (piece === 'break') {
      close();
      continue;
    }
    if (piece.ids[0] === layout.commaId) {
      lastComma = ids.length;
    } else if (
      ids.length === capacity &&
      lastComma !== -1 &&
      ids.length - lastComma <= layout.commaBacktrack
    ) {
      const moved = [ids.splice(lastComma + 1), weights.splice(lastComma + 1)] as const;
      close();
      [ids, weights] = moved;
    }
    if (ids.length === capacity || ids.length + piece.ids.length > capacity) close();
    for (const id of piece.ids) {
      ids.push(id);
      weights.push(piece.weight);
    }
  }
  if (ids.length > 0 || chunks.length === 0) close();
  return chunks;
}

function paddedChunk(
  ids: readonly number[],
  weights: readonly number[],
  { startId, endId, padId, length }: ChunkLayout,
): WeightedChunk {
  const filled = [startId, ...ids];
  while (filled.length < length) filled.push(endId);
  // Also a literal end token in the text starts the padding, as there.
  if (padId !== endId) filled.fill(padId, filled.indexOf(endId) + 1);
  const multipliers = [1, ...weights];
  while (multipliers.length < length) multipliers.push(1);
  return { ids: filled, multipliers };
}
