/**
 * @file Pictures in one compressed file: a header of JSON, then the pictures as differences from what their neighbours foretell, so that they compress well. Reading
 * it needs nothing but Node.
 */
import { readFileSync } from 'node:fs';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import type { Artist } from './artwork.ts';

/** Pixels of a side. */
export const SIDE = 64;
const BYTES = 3 * SIDE * SIDE;

/**
 * What a picture is for: the base learns it, a pair of artist and concept that is kept back from everything, pictures that only the autoencoder learns (other subjects, and
 * the unseen artist's), and those of the unseen artist that are kept back from everything.
 */
export type Use = 'base' | 'kept pair' | 'autoencoder' | 'kept outline';

export interface PackedPicture {
  readonly artist: Artist;
  /** As a file name. */
  readonly concept: string;
  readonly label: string;
  readonly tags: readonly string[];
  readonly use: Use;
}

export interface Pack {
  readonly pictures: readonly PackedPicture[];
  /** sRGB bytes [64,64,3] of a picture. */
  pixels(index: number): Uint8Array;
}

/** The bytes of a pack. */
export function packed(pictures: readonly PackedPicture[], pixels: readonly Uint8Array[]): Buffer {
  const header = Buffer.from(JSON.stringify(pictures));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  // Each colour's differences lie together: like goes with like.
  const differences = pixels.map((picture) => foretold(picture, 'less'));
  const raw = Buffer.concat([length, header, ...differences]);
  return brotliCompressSync(raw, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 24,
      [constants.BROTLI_PARAM_SIZE_HINT]: raw.length,
    },
  });
}

/** Reads a pack. */
export function readPack(path: string): Pack {
  const raw = brotliDecompressSync(readFileSync(path));
  const start = 4 + raw.readUInt32LE();
  const pictures = JSON.parse(raw.toString('utf8', 4, start)) as PackedPicture[];
  if (raw.length !== start + pictures.length * BYTES)
    throw new Error(`${path}: holds ${raw.length - start} bytes of ${pictures.length} pictures`);
  const all = pictures.map((_, i) => {
    const at = start + i * BYTES;
    return foretold(raw.subarray(at, at + BYTES), 'plus');
  });
  return { pictures, pixels: (index) => all[index]! };
}

/**
 * `less`: a picture [64,64,3] as planes [3,64,64] of differences from the neighbours' forecast; `plus`: back again. The forecast is the median of left, upper, and left + upper -
 * upper left (Weinberger et al. 2000, LOCO-I).
 */
function foretold(from: Uint8Array, way: 'less' | 'plus'): Uint8Array {
  const to = new Uint8Array(BYTES);
  const picture = way === 'less' ? from : to;
  for (let channel = 0; channel < 3; channel++)
    for (let y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++) {
        const at = 3 * (y * SIDE + x) + channel;
        const left = x > 0 ? picture[at - 3]! : y > 0 ? picture[at - 3 * SIDE]! : 255;
        const upper = y > 0 ? picture[at - 3 * SIDE]! : left;
        const corner = x > 0 && y > 0 ? picture[at - 3 * SIDE - 3]! : upper;
        const [low, high] = left < upper ? [left, upper] : [upper, left];
        const forecast = corner >= high ? low : corner <= low ? high : left + upper - corner;
        const plane = (channel * SIDE + y) * SIDE + x;
        if (way === 'less') to[plane] = from[at]! - forecast;
        else to[at] = from[plane]! + forecast;
      }
  return to;
}
