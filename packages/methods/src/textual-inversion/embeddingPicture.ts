/** @file Embeddings that A1111 hides in pictures (`modules/textual_inversion/image_embedding.py`). */
import { UserError } from '@sdft/tensor';
import { inflate, readPng } from '../png/readPng.ts';
import type { Embedding } from './readEmbedding.ts';
import { readBytes } from '../node/readBytes.ts';

/** Bytes of unpacked JSON: 75 vectors of 2048 numbers, written out, are 4 MB. */
const LONGEST_JSON = 2 ** 26;

/**
 * Reads the embedding of a PNG: from its text `sd-ti-embedding`, or else from the low bits of the strips at its sides.
 *
 * @throws UserError, naming the file, where there is none
 */
export async function readEmbeddingPicture(path: string): Promise<Embedding> {
  const png = readPng(await readBytes(path), path);
  const text = png.texts.get('sd-ti-embedding');
  const json =
    text === undefined
      ? textInPixels(png.pixels(), png.width, png.height, path)
      : new TextDecoder().decode(Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0)));
  return embeddingIn(json, path);
}

function embeddingIn(json: string, path: string): Embedding {
  const fail = (why: string): UserError =>
    new UserError(`${path}: the embedding in this picture is broken: ${why}`);
  let data: unknown;
  try {
    data = JSON.parse(json);
  } catch {
    throw fail('it is no JSON');
  }
  const { string_to_param: parameters, name } = (data ?? {}) as Record<string, unknown>;
  const [tensor] = Object.values((parameters ?? {}) as Record<string, unknown>);
  const rows = (tensor as Record<string, unknown> | undefined)?.['TORCHTENSOR'];
  if (!isMatrix(rows)) throw fail('it holds no vectors of equal length');
  return {
    values: Float32Array.from(rows.flat()),
    vectors: rows.length,
    width: rows[0]!.length,
    name: typeof name === 'string' ? name : undefined,
    layout: 'a1111-picture',
  };
}

function isMatrix(value: unknown): value is number[][] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every(
      (row) =>
        Array.isArray(row) &&
        row.length > 0 &&
        row.length === (value[0] as unknown[]).length &&
        row.every((x) => Number.isFinite(x)),
    )
  );
}

/** The JSON in the low four bits of the pixels: low halves of its bytes left of the first black column, high halves right of the last. */
function textInPixels(pixels: Uint8Array, width: number, height: number, path: string): string {
  const none = (): UserError =>
    new UserError(`${path}: holds no embedding, neither as a text nor in its pixels`);
  const { left, right, top, bottom } = withoutBlackEdges(pixels, width, height);
  const black: number[] = [];
  for (let x = left; x < right; x++) {
    let low = 0;
    for (let y = top; y < bottom; y++)
      for (let c = 0; c < 3; c++) low |= pixels[3 * (y * width + x) + c]! & 0x0f;
    if (low === 0) black.push(x);
  }
  const [first, last] = [black[0], black.at(-1)];
  if (first === undefined || last === undefined || first === last) throw none();
  const strip = (from: number, to: number): number[] => {
    const random = lowBits();
    const values: number[] = [];
    for (let y = top; y < bottom; y++)
      for (let x = from; x < to; x++)
        for (let c = 0; c < 3; c++)
          values.push((pixels[3 * (y * width + x) + c]! & 0x0f) ^ random());
    return values;
  };
  const low = strip(left, first);
  const high = strip(last + 1, right);
  if (low.length === 0 || low.length !== high.length) throw none();
  const packed = Uint8Array.from(low, (bits, i) => (high[i]! << 4) | bits);
  return new TextDecoder().decode(inflate([packed], LONGEST_JSON, none));
}

/** The smallest frame around all pixels that have no zero channel. */
function withoutBlackEdges(pixels: Uint8Array, width: number, height: number) {
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = 3 * (y * width + x);
      if (pixels[at] === 0 || pixels[at + 1] === 0 || pixels[at + 2] === 0) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  return { left, right, top, bottom };
}

/** Four bits at a time of A1111's linear congruential generator. */
function lowBits(): () => number {
  let seed = 0;
  return () => {
    seed = (Math.imul(1664525, seed) + 1013904223) >>> 0;
    return (seed % 255) & 0x0f;
  };
}
