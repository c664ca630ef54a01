/** @file Runs a traced network on every backend, with weights and inputs out of a safetensors file. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  type Backend,
  type HostArray,
  reference,
  trace,
  type Tracer,
  type Tensor,
  type Weight,
} from '@sdft/tensor';
import { cpu, webgpu } from '@sdft/tensor/node';
import ndarray from 'ndarray';
import { expect } from 'vitest';
import { readFloat32 } from '../../src/checkpoint/floats.ts';
import type { TensorFile } from '../../src/checkpoint/safetensors.ts';
import { openSafetensors } from '../../src/node/safetensorsFile.ts';

export const backends: readonly Backend[] = [reference, cpu(), webgpu()];

const root = new URL('../../../../', import.meta.url);
/** A file of the repository. */
export const pathOf = (path: string): string => fileURLToPath(new URL(path, root));
export const open = (path: string): TensorFile => openSafetensors(pathOf(path));
export const json = (path: string): unknown => JSON.parse(readFileSync(pathOf(path), 'utf8'));
/** The config that a fixture of our own carries. */
export const configIn = ({ metadata }: TensorFile): unknown => JSON.parse(metadata['config']!);

/** The tensors whose names start with `prefix`, under what follows it, below `path`. */
export const weightsIn = (
  { tensors }: TensorFile,
  path: string,
  prefix = '',
): ReadonlyMap<string, Weight> =>
  new Map(
    [...tensors]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, weight]) => [`${path}.${name.slice(prefix.length)}`, weight]),
  );

const find = (file: TensorFile, name: string): Weight => {
  const weight = file.tensors.get(name);
  if (!weight) throw new Error(`the fixture has no ${name}`);
  return weight;
};
export const numbersOf = (file: TensorFile, name: string): Float32Array =>
  readFloat32(find(file, name));

/** A tensor of a file, as an input: integers as i32. */
export interface Given {
  readonly dtype: 'f32' | 'i32';
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
export const given = (file: TensorFile, name: string): Given => {
  const weight = find(file, name);
  return {
    dtype: weight.dtype === 'i64' ? 'i32' : 'f32',
    shape: weight.shape,
    data: readFloat32(weight),
  };
};

/** What `body` makes of the inputs. */
export async function evaluate<Name extends string>(
  backend: Backend,
  weights: ReadonlyMap<string, Weight>,
  inputs: Readonly<Record<Name, Given>>,
  body: (tensors: Record<Name, Tensor>, tracer: Tracer) => Readonly<Record<string, Tensor>>,
): Promise<Record<string, Float32Array>> {
  const entries = Object.entries<Given>(inputs);
  const graph = trace((tracer) => {
    const tensors = entries.map(([name, { shape, dtype }]) => [
      name,
      tracer.input(name, shape, dtype),
    ]);
    return { outputs: body(Object.fromEntries(tensors) as Record<Name, Tensor>, tracer) };
  });
  const executable = await backend.compile(graph, { weights });
  try {
    const arrays = entries.map(([name, { shape, dtype, data }]) => [
      name,
      ndarray(dtype === 'i32' ? Int32Array.from(data) : data, [...shape]) as HostArray,
    ]);
    const results = await executable.run(Object.fromEntries(arrays) as Record<string, HostArray>);
    return Object.fromEntries(
      Object.entries(results).map(([name, { data }]) => [name, Float32Array.from(data)]),
    );
  } finally {
    await executable.dispose();
  }
}

function errorOf(actual: Float32Array, expected: Float32Array): Bar {
  expect(actual.length).toBe(expected.length);
  let [difference, size, most] = [0, 0, 0];
  expected.forEach((value, i) => {
    const off = Math.abs(actual[i]! - value);
    difference += off * off;
    size += value * value;
    most = Number.isNaN(off) ? NaN : Math.max(most, off);
  });
  const rms = Math.sqrt(size / expected.length);
  return { rms: Math.sqrt(difference / size), most: most / rms };
}

/** How far a result may be: RMS of the error and its largest value, over the RMS of what is expected. */
export interface Bar {
  readonly rms: number;
  readonly most: number;
}
/** For networks in f32, held against f32 results of others. */
export const f32Bar: Bar = { rms: 5e-6, most: 5e-5 };
/** For results that were computed in f64: the interpreter does the same, apart from sines of angles that PyTorch rounds to f32. */
export const own = ({ name }: Backend): Bar =>
  name === 'reference' ? { rms: 2e-7, most: 2e-6 } : f32Bar;

export function expectClose(
  actual: Float32Array | undefined,
  expected: Float32Array,
  what: string,
  bar: Bar = f32Bar,
): void {
  const { rms, most } = errorOf(actual!, expected);
  expect(rms, `${what}, RMS`).toBeLessThanOrEqual(bar.rms);
  expect(most, `${what}, largest`).toBeLessThanOrEqual(bar.most);
}
