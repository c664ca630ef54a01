/** @file Numbers for tests of kernels, and how far results are from what they should be. */
import { expect } from 'vitest';
import type { Storage } from '../../src/backends/webgpu/kernel.ts';
import { rounded, type Values } from './device.ts';

/** Numbers between -1 and 1 from a seed, as `storage` holds them. */
export function numbers(size: number, seed: number, storage: Storage = 'f32'): Values {
  let state = (seed * 2654435761) >>> 0;
  const data = Float64Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return { storage, data: rounded(storage, data) };
}

/** ||a - b|| / ||b|| */
export function distance(a: Float64Array, b: Float64Array): number {
  let [difference, norm] = [0, 0];
  b.forEach((y, i) => {
    difference += (a[i]! - y) ** 2;
    norm += y * y;
  });
  return Math.sqrt(difference / (norm || 1));
}

/** Results are the same as sums in double precision: f32 sums, and storage in f16 where `storage` says so. */
export function expectClose(
  actual: Float64Array,
  wanted: Float64Array,
  storage: Storage = 'f32',
): void {
  expect(actual.length).toBe(wanted.length);
  // Half of the spacing of f16 is 4.9e-4 of a value, of f32 6e-8; sums of some thousand terms add their own.
  expect(distance(actual, wanted)).toBeLessThan(storage === 'f16' ? 6e-4 : 3e-6);
}
