/** @file Trained vectors out of runs and files, and how far they are from one another. */
import { readEmbedding, type Run } from '../../src/index.ts';

/** The present vectors of a run of one word. */
export async function vectorsOf(run: Run): Promise<Float32Array> {
  const [state] = await run.trainables();
  const [parameters] = state!.values();
  return Float32Array.from(parameters!['vectors']!.data);
}

/** Those of a file of any layout. */
export const vectorsIn = async (path: string): Promise<Float32Array> =>
  (await readEmbedding(path)).values;

const size = (values: Float32Array): number => Math.hypot(...values);

/** RMS of the difference of two movements from the same start, over the RMS of the expected one. */
export function errorOfUpdate(
  from: Float32Array,
  actual: Float32Array,
  expected: Float32Array,
): number {
  if (actual.length !== from.length || expected.length !== from.length)
    throw new Error(`${from.length}, ${actual.length} and ${expected.length} numbers`);
  return (
    size(actual.map((value, i) => value - expected[i]!)) /
    size(expected.map((value, i) => value - from[i]!))
  );
}
