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

/**
 * Cuts a text of any length into chunks `start, length - 2 ids, end`, breaking after a comma where one is near the end of a chunk.
 * At least one chunk; each exactly `length` long. Source: A1111 `modules/sd_hijack_clip.py`, `tokenize_line` and
 * `process_tokens`, for text without emphasis.
 */
export function chunkIds(units: readonly Unit[], layout: ChunkLayout): number[][] {
  const capacity = layout.length - 2;
  const chunks: number[][] = [];
  let chunk: number[] = [];
  let lastComma = -1;
  const close = () => {
    chunks.push(paddedChunk(chunk, layout));
    chunk = [];
    lastComma = -1;
  };

  for (const unit of units) {
    if (unit[0] === layout.commaId) {
      lastComma = chunk.length;
    } else if (
      chunk.length === capacity &&
      lastComma !== -1 &&
      chunk.length - lastComma <= layout.commaBacktrack
    ) {
      const moved = chunk.splice(lastComma + 1);
      close();
      chunk = moved;
    }
    if (chunk.length === capacity || chunk.length + unit.length > capacity) close();
    chunk.push(...unit);
  }
  if (chunk.length > 0 || chunks.length === 0) close();
  return chunks;
}

function paddedChunk(
  ids: readonly number[],
  { startId, endId, padId, length }: ChunkLayout,
): number[] {
  const filled = [startId, ...ids];
  while (filled.length < length) filled.push(endId);
  // Also a literal end token in the text starts the padding, as there.
  if (padId !== endId) filled.fill(padId, filled.indexOf(endId) + 1);
  return filled;
}
