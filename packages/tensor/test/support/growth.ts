/** @file Whether memory grows, or only breathes. */

/**
 * Kilobytes that each cycle of the last half adds: the mean, and half of its 99.9 % interval: chance alone is to fail one run in a thousand.
 * Memory comes in pieces of 128 KB, now and then: a random walk, whose slope by least squares would look certain though nothing grows.
 */
export function growth(kilobytes: readonly number[]): { mean: number; half: number } {
  const from = kilobytes.length / 2;
  const steps = kilobytes.slice(from).map((k, i) => k - kilobytes[from + i - 1]!);
  const mean = steps.reduce((a, b) => a + b) / steps.length;
  const variance = steps.reduce((sum, s) => sum + (s - mean) ** 2, 0) / (steps.length - 1);
  return { mean, half: 3.29 * Math.sqrt(variance / steps.length) };
}
