/** @file Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"): random words as a function of a key and a counter. */

export type Words4 = readonly [number, number, number, number];
export type Words2 = readonly [number, number];

const ROUNDS = 10;
const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
/** What is added to the key after each round: the golden ratio and the square root of 3, less 1. */
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** The upper 32 bits of the product of two words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (other >>> 16)) >>> 0;
}

/** The four random words (0 to 2^32 - 1) of one counter. */
export function philox(counter: Words4, key: Words2): Words4 {
  const words = new Uint32Array(4);
  philoxInto(words, ...counter, key);
  return [words[0]!, words[1]!, words[2]!, words[3]!];
}

/** Writes them to `to`, and allocates nothing: training draws tens of thousands a step. */
export function philoxInto(
  to: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  [k0, k1]: Words2,
): void {
  let [a, b, c, d] = [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
  let [p, q] = [k0, k1];
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(M0, a);
    const low0 = Math.imul(M0, a) >>> 0;
    const high1 = multiplyHigh(M1, c);
    const low1 = Math.imul(M1, c) >>> 0;
    a = (high1 ^ b ^ p) >>> 0;
    b = low1;
    c = (high0 ^ d ^ q) >>> 0;
    d = low0;
    p = (p + W0) | 0;
    q = (q + W1) | 0;
  }
  to[0] = a;
  to[1] = b;
  to[2] = c;
  to[3] = d;
}
