/** @file Reads the cases of fixtures/tensor, made with PyTorch by tools/tensor; recorder.py there describes the files. */
import { readFileSync } from 'node:fs';
import type { HostArray, HostData } from '../../src/backend.ts';
import type { DType, Shape, TensorType } from '../../src/graph/types.ts';
import { hostArray } from '../../src/host/array.ts';

export interface FixtureTensor extends TensorType {
  readonly data: HostData;
}
export interface Case {
  readonly name: string;
  readonly op: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly inputs: readonly FixtureTensor[];
  readonly outputs: readonly FixtureTensor[];
  /** Of the f32 outputs, where there is a gradient; else empty. */
  readonly cotangents: readonly FixtureTensor[];
  /** Of each input; undefined for those that are not f32. Empty where there is no gradient. */
  readonly gradients: readonly (FixtureTensor | undefined)[];
  /** Differentiable at and around the inputs. */
  readonly smooth: boolean;
  /** How many times the rounding of an intermediate result grows on its way out. */
  readonly amplification: number;
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> & {
  __metadata__?: Record<string, string>;
};
type StoredCase = Pick<Case, 'name' | 'op' | 'options' | 'smooth' | 'amplification'> & {
  readonly inputs: readonly DType[];
  readonly outputs: number;
  readonly gradient: boolean;
};

export function readCases(file: string): Case[] {
  const { tensors, metadata } = readTensors(
    new URL(`../../../../fixtures/tensor/${file}.safetensors`, import.meta.url),
  );
  const cases = JSON.parse(metadata.cases!) as StoredCase[];
  return cases.map(({ inputs, outputs, gradient, ...rest }, index) => {
    const get = (what: string, k: number) => tensors.get(`${index}.${what}.${k}`)!;
    const results = Array.from({ length: outputs }, (_, k) => get('out', k));
    return {
      ...rest,
      inputs: inputs.map((dtype, k) => ({ ...get('in', k), dtype })),
      outputs: results,
      cotangents: gradient ? results.map((_, k) => get('cotangent', k)) : [],
      gradients: gradient
        ? inputs.map((dtype, k) => (dtype === 'f32' ? get('grad', k) : undefined))
        : [],
    };
  });
}

/** A safetensors file of f32, i32 and u8 (truth values) tensors. */
export function readTensors(url: URL): {
  tensors: Map<string, FixtureTensor>;
  metadata: Readonly<Record<string, string>>;
} {
  const bytes = readFileSync(url);
  const length = Number(bytes.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(
    bytes.toString('utf8', 8, 8 + length),
  ) as Header;
  const tensors = new Map(
    Object.entries(entries as Omit<Header, '__metadata__'>).map(([name, entry]) => {
      const [from, to] = entry.data_offsets;
      const { buffer } = Uint8Array.from(bytes.subarray(8 + length + from, 8 + length + to));
      return [name, { shape: entry.shape, ...decode(entry.dtype, buffer) }];
    }),
  );
  return { tensors, metadata };
}

function decode(dtype: string, buffer: ArrayBuffer): { dtype: DType; data: HostData } {
  switch (dtype) {
    case 'F32':
      return { dtype: 'f32', data: new Float32Array(buffer) };
    case 'I32':
      return { dtype: 'i32', data: new Int32Array(buffer) };
    case 'U8':
      return { dtype: 'bool', data: new Uint8Array(buffer) };
    default:
      throw new Error(`no fixture is ${dtype}`);
  }
}

export const asArray = ({ data, shape }: FixtureTensor): HostArray =>
  hostArray(data, shape) as HostArray;
export const filled = (shape: Shape, value: number): HostArray =>
  hostArray(new Float32Array(shape.reduce((n, d) => n * d, 1)).fill(value), shape);
