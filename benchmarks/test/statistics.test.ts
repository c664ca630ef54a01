import { describe, expect, test } from 'vitest';
import { lineThrough, median, ratioOf, relativeError } from '../measure/statistics.ts';

test.each([
  [[3], 3],
  [[3, 1, 2], 2],
  [[10, 1, 3, 2], 2.5],
])('the median of %j is %d', (values, expected) => {
  expect(median(values)).toBe(expected);
});

describe('a ratio', () => {
  test('of constant times: no doubt about it', () => {
    expect(ratioOf([2, 2, 2], [3, 3, 3])).toEqual({
      ofMedians: 1.5,
      ofPairs: 1.5,
      interval: [1.5, 1.5],
    });
  });

  test('a slow minute that hits both of a pair moves neither the pairs’ median nor the interval', () => {
    const { ofPairs, interval } = ratioOf([1, 1, 10, 1, 1], [2, 2, 20, 2, 2]);
    expect(ofPairs).toBe(2);
    expect(interval).toEqual([2, 2]);
  });

  test('the interval holds the median, is the same at each call, and narrows with more pairs', () => {
    const noise = (n: number) => Array.from({ length: n }, (_, i) => 1.5 + 0.3 * Math.sin(i * 7));
    const few = ratioOf(noise(8).fill(1), noise(8));
    const many = ratioOf(noise(64).fill(1), noise(64));
    expect(few.interval[0]).toBeLessThan(few.ofPairs);
    expect(few.interval[1]).toBeGreaterThan(few.ofPairs);
    expect(ratioOf(noise(8).fill(1), noise(8))).toEqual(few);
    expect(many.interval[1] - many.interval[0]).toBeLessThan(few.interval[1] - few.interval[0]);
  });
});

describe('a line', () => {
  test('through points on it', () => {
    const { intercept, slope, r2 } = lineThrough([1, 2, 4, 8], [5, 7, 11, 19]);
    expect([intercept, slope, r2]).toEqual([
      expect.closeTo(3, 12),
      expect.closeTo(2, 12),
      expect.closeTo(1, 12),
    ]);
  });

  // Anscombe 1973, The American Statistician 27, first data set: y = 3.00 + 0.500 x, R² 0.67.
  test('through points beside it', () => {
    const xs = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5];
    const ys = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
    const { intercept, slope, r2 } = lineThrough(xs, ys);
    expect([intercept, slope, r2]).toEqual([
      expect.closeTo(3, 2),
      expect.closeTo(0.5, 3),
      expect.closeTo(0.67, 2),
    ]);
  });
});

describe('a relative error', () => {
  test('is that of the root mean squares', () => {
    expect(relativeError([3, 4.5], [3, 4])).toBeCloseTo(0.1, 12);
    expect(relativeError([0, 0], [0, 0])).toBe(0);
  });

  test('is never small where lengths differ, a value is missing or nothing was expected', () => {
    expect(relativeError([1], [1, 1])).toBe(Number.POSITIVE_INFINITY);
    expect(relativeError([Number.NaN], [1])).toBeNaN();
    expect(relativeError([1], [0])).toBe(Number.POSITIVE_INFINITY);
  });
});
