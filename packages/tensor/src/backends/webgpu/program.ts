/** @file A graph as WebGPU runs it: tensors, and one dispatch after the other. Plain data. */
import type { TensorType } from '../../graph/types.ts';
import type { Kernel, Storage } from './kernel.ts';

export type TensorId = number;

/** Where the elements of a tensor come from. */
export type Origin =
  | { readonly kind: 'temporary' }
  | { readonly kind: 'input'; readonly name: string; readonly type: TensorType }
  | { readonly kind: 'state'; readonly name: string; readonly type: TensorType }
  | { readonly kind: 'weight'; readonly name: string }
  | { readonly kind: 'constant'; readonly data: readonly number[]; readonly type: TensorType }
  /** Other tensors, side by side. */
  | { readonly kind: 'pack'; readonly of: 'states' | 'working' }
  /** What kernels say of row numbers that are none: two words for each entry of `checks`. Zero before each run. */
  | { readonly kind: 'faults' };

export interface ProgramTensor {
  readonly storage: Storage;
  readonly size: number;
  readonly origin: Origin;
}

/** A tensor, or as much of it as one binding shows, in bytes. */
export interface Operand {
  readonly tensor: TensorId;
  readonly from: number;
  readonly bytes: number;
}

export interface ProgramStep {
  readonly kernel: Kernel;
  /** By binding. */
  readonly operands: readonly Operand[];
  /** The layer that it belongs to, '' for none. */
  readonly path: string;
  /** Operations of the graph that it computes, those that only move elements not counted; of an operation in several steps, the last has it. */
  readonly operations: number;
  /** Of a kernel whose threads each do one element of tensors of this size, and of tensors of one element: itself for another size. */
  readonly elements?: {
    readonly size: number;
    readonly sized: (size: number) => Pick<Kernel, 'code' | 'workgroups'>;
  };
}

/** Tensors that lie within another, which some steps see as a whole; `from` in bytes. */
export interface Pack {
  readonly tensor: TensorId;
  readonly members: readonly { readonly tensor: TensorId; readonly from: number }[];
}

/** A row number that is computed: which operation reads the row, and how many there are. */
export interface RowCheck {
  readonly op: string;
  readonly path: string;
  readonly rows: number;
}

export interface Program {
  readonly tensors: readonly ProgramTensor[];
  readonly steps: readonly ProgramStep[];
  readonly outputs: ReadonlyMap<string, { readonly tensor: TensorId; readonly type: TensorType }>;
  /** Done after all steps: next values that could not be written in place. */
  readonly copies: readonly { readonly from: TensorId; readonly to: TensorId }[];
  readonly checks: readonly RowCheck[];
  readonly packs: readonly Pack[];
}

export const elementBytes: Readonly<Record<Storage, number>> = {
  ...{ f32: 4, f16: 2, i32: 4, u32: 4, u8: 1 },
};

/** Bytes of a tensor; a multiple of 4, as buffers want it. */
export const tensorBytes = ({ storage, size }: Pick<ProgramTensor, 'storage' | 'size'>): number =>
  Math.ceil((size * elementBytes[storage]) / 4) * 4;
