/** @file The backends that every test of results runs on, and how near to PyTorch's float64 each has to come. */
import { expect } from 'vitest';
import type { Backend } from '../../src/backend.ts';
import { reference } from '../../src/backends/reference/backend.ts';
import type { Shape } from '../../src/graph/types.ts';
import { cpu } from '../../src/node/index.ts';
import { testedWebgpu } from './webgpu.ts';
import type { HostArray } from '../../src/backend.ts';

export interface TestedBackend {
  readonly backend: Backend;
  /** Largest error allowed of an element, over its own size. */
  readonly relative: number;
  /** Largest error allowed of an element, over the largest of its tensor. */
  readonly absolute: number;
  /** Error allowed of an element whatever its size; 0 if absent. */
  readonly floor?: number;
  /** Infinities, NaN and numbers below 2^-126 are what IEEE 754 says; by default so. */
  readonly extremes?: false;
  /** What rounding may do to an intermediate result, over its size. */
  readonly epsilon: number;
}

export const backends: readonly TestedBackend[] = [
  // Rounding to f32 once is half of 2^-23; sums that cancel add what double precision loses.
  { backend: reference, relative: 6e-8, absolute: 1e-12, epsilon: 2 ** -53 },
  { backend: cpu({ threads: 1 }), relative: 1e-5, absolute: 1e-5, epsilon: 2 ** -24 },
  // WGSL lets drivers take it that there are no NaN and no infinities, and flush what is smaller than 2^-126 to 0. exp, sin and the like are a few units in the last place off. A compiler may round between a product and the sum that it goes into, or not, so that what cancels
  // to 0 elsewhere, when both sides are of the order of 10, leaves a unit or two of them.
  {
    backend: testedWebgpu(),
    relative: 1e-5,
    absolute: 1e-5,
    epsilon: 2 ** -23,
    floor: 2e-6,
    extremes: false,
  },
];

/** Holds `actual` against `expected`: the same NaN and infinities, and finite numbers within the backend's tolerance. */
export function expectClose(
  actual: HostArray,
  expected: { shape: Shape; data: ArrayLike<number> },
  tested: Pick<TestedBackend, 'relative' | 'absolute' | 'epsilon' | 'floor'>,
  what: string,
  amplification = 1,
): void {
  const relative = tested.relative + (amplification - 1) * tested.epsilon;
  const absolute = tested.absolute + (amplification - 1) * tested.epsilon;
  expect(actual.shape, what).toEqual(expected.shape);
  const wanted = Array.from(expected.data);
  const largest = Math.max(0, ...wanted.filter(Number.isFinite).map(Math.abs));
  const wrong = wanted.flatMap((want, i) => {
    const got = actual.data[i]!;
    const near =
      Object.is(got, want) ||
      got === want ||
      Math.abs(got - want) <= relative * Math.abs(want) + absolute * largest + (tested.floor ?? 0);
    return near ? [] : [`element ${i}: ${got} instead of ${want}`];
  });
  if (actual.data.length !== wanted.length)
    wrong.push(`${actual.data.length} elements instead of ${wanted.length}`);
  expect(wrong.slice(0, 5), `${what} (${wrong.length} wrong)`).toEqual([]);
}
