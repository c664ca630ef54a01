/** @file The seam between what computes one operation and what runs a graph: kernels as plain data, made by pure functions `(shapes, target) -> Plan`. */

/** How a tensor lies in a buffer. Truth values and codes take a whole u32 each, but for codes that are kept from run to run: `u8`, four to a u32. f16 is computed with in f32. */
export type Storage = 'f32' | 'f16' | 'i32' | 'u32' | 'u8';

/** What a kernel may count on: the limits and features of a device, as plain data, so that every plan can be made and tested without one. */
export interface Target {
  /** `software`: the device computes on the processor (lavapipe, SwiftShader), where barriers and per-lane loads are dear and broadcasts cheap. */
  readonly kind: 'gpu' | 'software';
  /** WGSL may say `enable f16`. */
  readonly f16: boolean;
  /** WGSL may say `enable subgroups`; the sizes that a subgroup may have. */
  readonly subgroups: { readonly min: number; readonly max: number } | undefined;
  /** Products of matrices by a whole subgroup, from f16 to f32; the sizes of one. */
  readonly subgroupMatrix:
    | { readonly m: number; readonly n: number; readonly k: number }
    | undefined;
  /** Bytes. */
  readonly workgroupStorage: number;
  /** Invocations of a workgroup, and its length along x. */
  readonly workgroupSize: number;
  /** Workgroups along one axis of a dispatch. */
  readonly workgroups: number;
  /** Buffers that one kernel may be bound to. */
  readonly bindings: number;
  /** Bytes that one binding may show. */
  readonly bindingBytes: number;
  /** Bytes that one buffer may have. */
  readonly bufferBytes: number;
  /** Where a binding may begin, in bytes. */
  readonly alignment: number;
  /** How many numbers of u32 a dispatch may hand its kernel beside buffers (immediates of WGSL). */
  readonly immediates: number;
}

/** One dispatch. `operands[i]` is `@group(0) @binding(i)`; all are declared `var<storage, read_write>`, because tensors share buffers. */
export interface Kernel {
  /** What a profile calls it, such as `matmul 64x64x16`. The same code has the same name. */
  readonly name: string;
  readonly code: string;
  /** What a dispatch hands its kernel as immediates. */
  readonly numbers?: readonly number[];
  readonly operands: readonly {
    readonly storage: Storage;
    readonly access: 'read' | 'write' | 'update';
  }[];
  readonly workgroups: readonly [number, number, number];
  /** Floating point operations (a product with a sum counts two), for reports. */
  readonly flops: number;
  /** Bytes that it reads and writes if every operand is touched once. */
  readonly bytes: number;
}

/** What an operand of a step is: an input or a result of the operation, or memory that lives from the plan's first step to its last. */
export type Slot =
  | { readonly kind: 'input'; readonly index: number }
  | { readonly kind: 'output'; readonly index: number }
  | { readonly kind: 'scratch'; readonly index: number };

export interface Step {
  readonly kernel: Kernel;
  /** By binding. */
  readonly slots: readonly Slot[];
}

/** An operation as steps, done one after the other. `scratch`: the bytes of each piece of memory between them. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly scratch: readonly number[];
}

/**
 * What is done to each element of a result before it is stored, such as adding a bias: it becomes part of the kernel.
 * `operands` are bound after the operation's own inputs (as inputs of the plan); `code` spells out the WGSL expression of the result from the value (an f32 expression), the
 * element's row-major number in the result (a u32 expression), and, for each operand, a function from a row-major number within it to the WGSL of that element as f32.
 */
export interface Epilogue {
  /** Tells kernels apart: the same key is the same code. */
  readonly key: string;
  readonly operands: readonly { readonly storage: Storage; readonly size: number }[];
  readonly code: (
    value: string,
    index: string,
    operands: readonly ((index: string) => string)[],
  ) => string;
}
