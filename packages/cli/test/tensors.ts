/** @file Reads and writes the tensors that tests give to the program, and holds its results against others. */
import { readFloat32, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import type { Weight } from '@sdft/tensor';
import { expect } from 'vitest';

/** A tensor of a safetensors file. */
export function tensor(path: string, name: string): Weight {
  const weight = openSafetensors(path).tensors.get(name);
  if (!weight) throw new Error(`${path} has no ${name}`);
  return weight;
}

export const numbers = (path: string, name: string): Float32Array =>
  readFloat32(tensor(path, name));

export const write = (path: string, tensors: Readonly<Record<string, Weight>>): Promise<void> =>
  writeSafetensors(path, new Map(Object.entries(tensors)), { force: true });

export const integers = (values: readonly number[], shape: readonly number[]): Weight =>
  weightOf('i64', shape, new Uint8Array(BigInt64Array.from(values, BigInt).buffer));

export const floats = (values: ArrayLike<number>, shape: readonly number[]): Weight =>
  weightOf('f32', shape, new Uint8Array(Float32Array.from(values).buffer));

const rootMeanSquare = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);

/** RMS of the difference, and the largest one, both over the RMS of what is expected. */
export function errorOf(
  actual: Float32Array,
  expected: Float32Array,
): { rms: number; largest: number } {
  expect(actual.length).toBe(expected.length);
  const difference = actual.map((value, i) => value - expected[i]!);
  const size = rootMeanSquare(expected);
  return {
    rms: rootMeanSquare(difference) / size,
    largest: difference.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / size,
  };
}
