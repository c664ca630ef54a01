/** @file Computing a graph with drawn inputs, weights and states, and holding one backend's results against another's. */
import { expect } from 'vitest';
import type { Backend, CompileOptions, HostArray } from '../../../src/backend.ts';
import type { Graph, TensorType } from '../../../src/graph/types.ts';
import { signatureOf } from '../../../src/host/signature.ts';
import { draws, hostArray, type Shape, type Weight } from '../../../src/index.ts';

export type Results = Record<string, HostArray>;
export interface Given {
  readonly inputs: Results;
  readonly weights: ReadonlyMap<string, Weight>;
  readonly state: Results;
}

/** A weight that is in memory. */
export const inMemory = (data: Float32Array, shape: Shape): Weight => ({
  dtype: 'f32',
  shape,
  read: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

/** Standard normal numbers for every f32 input, weight and state that is not among `others`. */
export function drawn(graph: Graph, others: Results = {}, seed = 5): Given {
  const { inputs, states, weights } = signatureOf(graph);
  const normal = (name: string, shape: Shape) => draws(seed).normal(name, 0, shape);
  const values = (types: ReadonlyMap<string, TensorType>): Results =>
    Object.fromEntries(
      [...types].map(([name, { shape }]) => [
        name,
        others[name] ?? (normal(name, shape) as HostArray),
      ]),
    );
  return {
    inputs: values(inputs),
    state: values(states),
    weights: new Map(
      [...weights].map(([name, shape]) => [
        name,
        inMemory((others[name]?.data ?? normal(name, shape).data) as Float32Array, shape),
      ]),
    ),
  };
}

/** The outputs after one run, and the states then, as `state NAME`. */
export async function compute(
  backend: Backend,
  graph: Graph,
  { inputs, ...options }: Given | ({ inputs: Results } & CompileOptions),
): Promise<Results> {
  const executable = await backend.compile(graph, options);
  try {
    const results = await executable.run(inputs);
    for (const name of Object.keys(graph.updates))
      results[`state ${name}`] = await executable.read(name);
    return results;
  } finally {
    await executable.dispose();
  }
}

/** f32 against double precision: `ulps` roundings of the largest element, or of 1, which is what inputs are of the order of, where sums of them cancel. */
export function expectNear(got: Results, want: Results, ulps = 100): void {
  for (const [key, { data, shape }] of Object.entries(want)) {
    expect(got[key]!.shape, key).toEqual(shape);
    const wanteds = Array.from(data);
    const largest = wanteds.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
    const wrong = wanteds.flatMap((wanted, i) => {
      const value = got[key]!.data[i]!;
      const near = Math.abs(value - wanted) <= ulps * 2 ** -23 * largest;
      return near || Object.is(value, wanted)
        ? []
        : [`element ${i}: ${value} instead of ${wanted}`];
    });
    expect(wrong.slice(0, 5), `${key} (${wrong.length} wrong)`).toEqual([]);
  }
}

export const f32 = (values: readonly number[], shape: Shape = [values.length]): HostArray =>
  hostArray(Float32Array.from(values), shape) as HostArray;
export const i32 = (values: readonly number[], shape: Shape = [values.length]): HostArray =>
  hostArray(Int32Array.from(values), shape) as HostArray;
