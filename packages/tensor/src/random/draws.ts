/** @file Named random draws, made on the host: equal on every backend, and after a resume. */
import type { NdArray } from 'ndarray';
import { UserError } from '../errors.ts';
import { type Shape, showShape, sizeOf } from '../graph/types.ts';
import { hostArray } from '../host/array.ts';
import { philoxInto, type Words2 } from './philox.ts';

/**
 * Random arrays that depend on nothing but the seed, the name of their use and the step: no draw moves another. All are made in double precision from the words of Philox4x32-10 with the seed as its
 * key (low word first) and (block, step, hash of the name: low word, high word) as its counter; the hash is 64-bit FNV-1a over UTF-8. Every method throws UserError for a step that is no
 * integer from 0 to 2^32 - 1.
 */
export interface Draws {
  /** Standard normal f32: elements 2b and 2b + 1 are block b's cosine and sine of Box and Muller (1958), from two numbers of 53 bits. */
  normal(name: string, step: number, shape: Shape): NdArray<Float32Array>;
  /** Uniform f32 in [0, 1), multiples of 2^-24: one word an element. */
  uniform(name: string, step: number, shape: Shape): NdArray<Float32Array>;
  /** Uniform i32 from 0 to `below` - 1, each exactly as likely: words that would favour the small ones are passed over. `below`: 1 to 2^31. */
  integers(name: string, step: number, shape: Shape, below: number): NdArray<Int32Array>;
}

/** The draws of a run. `seed`: any integer of 64 bits; a negative one stands for its two's complement. Throws UserError if it is none. */
export function draws(seed: number | bigint): Draws {
  const key = keyOf(seed);
  return {
    normal: (name, step, shape) => {
      const data = new Float32Array(sizeOf(shape));
      const words = wordsOf(key, name, step);
      for (let i = 0; i < data.length; i += 2) {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        const radius = Math.sqrt(-2 * Math.log(1 - unit(words)));
        const angle = 2 * Math.PI * unit(words);
        data[i] = radius * Math.cos(angle);
        if (i + 1 < data.length) data[i + 1] = radius * Math.sin(angle);
      }
      return hostArray(data, shape);
    },
    uniform: (name, step, shape) => {
      const data = new Float32Array(sizeOf(shape));
      const words = wordsOf(key, name, step);
      for (let i = 0; i < data.length; i++) data[i] = (words() >>> 8) / 2 ** 24;
      return hostArray(data, shape);
    },
    integers: (name, step, shape, below) => {
      if (!Number.isInteger(below) || below < 1 || below > 2 ** 31)
        throw new UserError(
          `random integers ${name} ${showShape(shape)} must be below 1 to 2^31, got ${below}`,
        );
      const data = new Int32Array(sizeOf(shape));
      const words = wordsOf(key, name, step);
      const end = 2 ** 32 - (2 ** 32 % below);
      for (let i = 0; i < data.length; i++) {
        let word = words();
        while (word >= end) word = words();
        data[i] = word % below;
      }
      return hostArray(data, shape);
    },
  };
}

function keyOf(seed: number | bigint): Words2 {
  if (typeof seed === 'number' && !Number.isSafeInteger(seed))
    throw new UserError(`the seed must be an integer, got ${seed}`);
  const bits = BigInt(seed);
  if (BigInt.asIntN(64, bits) !== bits && BigInt.asUintN(64, bits) !== bits)
    throw new UserError(`the seed must have at most 64 bits, got ${seed}`);
  return [Number(BigInt.asUintN(32, bits)), Number(BigInt.asUintN(32, bits >> 32n))];
}

/** The words of one draw, one after the other. */
function wordsOf(key: Words2, name: string, step: number): () => number {
  if (!Number.isInteger(step) || step < 0 || step >= 2 ** 32)
    throw new UserError(`random draw ${name}: the step must be 0 to 2^32 - 1, got ${step}`);
  const hash = fnv1a(name);
  const low = Number(hash & 0xffffffffn);
  const high = Number(hash >> 32n);
  let block = 0;
  const words = new Uint32Array(4);
  let used = words.length;
  return () => {
    if (used === words.length) {
      philoxInto(words, block++, step, low, high, key);
      used = 0;
    }
    return words[used++]!;
  };
}

/** The next number of 53 bits in [0, 1). */
function unit(words: () => number): number {
  const high = words() >>> 5;
  const low = words() >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

/** 64-bit FNV-1a over UTF-8 (Fowler, Noll and Vo; draft-eastlake-fnv). */
export function fnv1a(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
