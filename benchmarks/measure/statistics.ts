/** @file Numbers out of samples. */
import { draws } from '@sdft/tensor';

/** Throws where there are no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const high = sorted[Math.floor(middle)];
  if (high === undefined) throw new Error('internal: no values');
  return Number.isInteger(middle) ? (sorted[middle - 1]! + high) / 2 : high;
}

/** How one side compares with the other: above 1, ours needs less. */
export interface Ratio {
  readonly ofMedians: number;
  /** The median of the pairs' own ratios: a slow minute that hits both of a pair does not move it. */
  readonly ofPairs: number;
  /** Of `ofPairs`, 95 %. */
  readonly interval: readonly [low: number, high: number];
}

/** `theirs[i] / ours[i]`: pair i. The interval is a percentile bootstrap over pairs (Efron 1979), the same at every call with the same values. */
export function ratioOf(
  ours: readonly number[],
  theirs: readonly number[],
  resamples = 10_000,
): Ratio {
  const ratios = ours.map((value, i) => theirs[i]! / value);
  const n = ratios.length;
  const picks = draws(0).integers('bootstrap', 0, [resamples, n], n).data;
  const medians = Array.from({ length: resamples }, (_, r) =>
    median(Array.from(picks.subarray(r * n, (r + 1) * n), (i) => ratios[i]!)),
  ).sort((a, b) => a - b);
  const at = (fraction: number): number => medians[Math.round(fraction * (resamples - 1))]!;
  return {
    ofMedians: median(theirs) / median(ours),
    ofPairs: median(ratios),
    interval: [at(0.025), at(0.975)],
  };
}

/** A straight line through points by least squares. */
export interface Line {
  readonly intercept: number;
  readonly slope: number;
  /** The share of the variance of y that the line explains. */
  readonly r2: number;
}

export function lineThrough(xs: readonly number[], ys: readonly number[]): Line {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const sum = (term: (x: number, y: number) => number): number =>
    xs.reduce((total, x, i) => total + term(x - mx, ys[i]! - my), 0);
  const slope = sum((x, y) => x * y) / sum((x) => x * x);
  const intercept = my - slope * mx;
  return {
    intercept,
    slope,
    r2: 1 - sum((x, y) => (y - slope * x) ** 2) / sum((_, y) => y * y),
  };
}

/** Root of the mean square of the difference, over that of `expected`; infinite where `expected` is zero and the other is not. */
export function relativeError(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const difference = Math.hypot(...actual.map((value, i) => value - expected[i]!));
  return difference === 0 ? 0 : difference / Math.hypot(...expected);
}
