/** @file The seam that every backend fills: a whole graph in, something that runs it out. */
import type { NdArray } from 'ndarray';
import type { Graph } from './graph/types.ts';
import type { Weight } from './weight.ts';

/** Arrays on the host: f32 as Float32Array, i32 as Int32Array, bool and u8 as Uint8Array. */
export type HostData = Float32Array | Int32Array | Uint8Array;
export type HostArray = NdArray<HostData>;

export interface CompileOptions {
  /** Finds the array of each `weight` node. */
  readonly weights?: ReadonlyMap<string, Weight>;
  /** The first values of the states; zeros where one is missing. */
  readonly state?: Readonly<Record<string, HostArray>>;
}

/** Bytes that a compiled graph needs. */
export interface MemoryPlan {
  readonly weights: number;
  readonly state: number;
  /** The largest sum of intermediates alive at one time. */
  readonly activations: number;
  readonly total: number;
}

export interface Executable {
  /** Computes the outputs and, where the graph updates states, moves them on. Throws UserError if an input is missing or has another shape or type. */
  run(inputs?: Readonly<Record<string, HostArray>>): Promise<Record<string, HostArray>>;
  /** The present value of a state, a copy. */
  read(state: string): Promise<HostArray>;
  /** Sets a state. */
  write(state: string, value: HostArray): Promise<void>;
  readonly memory: MemoryPlan;
  /** Lets go of everything. */
  dispose(): Promise<void>;
}

export interface Backend {
  readonly name: 'cpu' | 'webgpu' | 'reference' | 'null';
  /** Throws UserError where a weight is missing or has another shape. */
  compile(graph: Graph, options?: CompileOptions): Promise<Executable>;
}
