/** @file First values of trainables. */
import { hostArray, type HostArray } from '@sdft/tensor';
import type { Initial } from './contracts.ts';

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
const filled = (shape: readonly number[], value: number): HostArray =>
  hostArray(new Float32Array(sizeOf(shape)).fill(value), shape) as HostArray;

/** All zero. */
export const zeros = (shape: readonly number[]): Initial => constant(shape, 0);

/** All `value`. */
export const constant = (shape: readonly number[], value: number): Initial => ({
  shape,
  values: () => filled(shape, value),
});

/** Normally distributed around 0. */
export const normal = (shape: readonly number[], std: number): Initial => ({
  shape,
  values: ({ draw }) => changed(draw.normal('value', shape), (z) => std * z),
});

/** Uniform in [low, high). */
export const uniform = (shape: readonly number[], low: number, high: number): Initial => ({
  shape,
  values: ({ draw }) => changed(draw.uniform('value', shape), (u) => low + (high - low) * u),
});

/** Equal to a frozen parameter, by its full path (`unet.conv_in.weight`). */
export const copyOf = (path: string, shape: readonly number[]): Initial => ({
  shape,
  copies: path,
  values: ({ weight }) => weight(path),
});

function changed(array: HostArray, change: (value: number) => number): HostArray {
  return hostArray(Float32Array.from(array.data, change), array.shape) as HostArray;
}
