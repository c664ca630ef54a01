import { createHash } from 'node:crypto';
import type { Draws } from '../src/index.ts';

/** Draws for tests: every number is the hash of (seed, name, step, place). */
export function fakeDraws(seed: number): Draws {
  const number = (name: string, step: number, place: number) =>
    createHash('sha256').update(`${seed} ${name} ${step} ${place}`).digest().readUInt32LE() /
    2 ** 32;
  const uniform = (name: string, count: number, step: number) =>
    Float64Array.from({ length: count }, (_, place) => number(name, step, place));
  return {
    uniform,
    integers: (name, count, below, step) =>
      Int32Array.from(uniform(name, count, step), (drawn) => Math.floor(drawn * below)),
  };
}
