/** @file Tensors of files, and how far one training led away from another. */
import { readFloat32 } from '@sdft/models';
import { openTensorFile } from '@sdft/models/node';

export type Tensors = ReadonlyMap<string, Float32Array>;

/** The numbers of every tensor of a file. */
export async function tensorsIn(path: string): Promise<Tensors> {
  const { tensors } = await openTensorFile(path);
  return new Map(
    [...tensors].map(([name, weight]) => [name, Float32Array.from(readFloat32(weight))]),
  );
}

/** RMS of what two results differ by, over the RMS of the second one's movement from where both began; tensors called `without` aside. */
export function errorOfUpdate(
  actual: Tensors,
  expected: Tensors,
  initial: Tensors,
  without: readonly string[] = [],
): number {
  let difference = 0;
  let movement = 0;
  for (const [name, values] of expected) {
    if (without.includes(name)) continue;
    const [ours, from] = [actual.get(name), initial.get(name)];
    if (ours?.length !== values.length || from?.length !== values.length)
      throw new Error(`${name}: ${ours?.length}, ${values.length} and ${from?.length} numbers`);
    values.forEach((value, i) => {
      difference += (ours[i]! - value) ** 2;
      movement += (value - from[i]!) ** 2;
    });
  }
  return Math.sqrt(difference / movement);
}

/** Largest difference between two results. */
export function largestDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} and ${expected.length} numbers`);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(actual[i]! - value)), 0);
}
