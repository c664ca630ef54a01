/** @file The seam that every backend fills: a whole graph in, something that runs it out. */
import type { NdArray } from 'ndarray';
import type { Graph } from './graph/types.ts';
import type { Weight } from './weight.ts';

/** Arrays on the host: f32 as Float32Array, i32 as Int32Array, bool and u8 as Uint8Array. */
export type HostData = Float32Array | Int32Array | Uint8Array;
export type HostArray = NdArray<HostData>;

/** Values of a state, or what gives them when their turn comes: large ones need not lie in memory twice. */
export type StateValue = HostArray | (() => HostArray);

export interface CompileOptions {
  /** Finds the array of each `weight` node. */
  readonly weights?: ReadonlyMap<string, Weight>;
  /** The first values of the states; zeros where one is missing. */
  readonly state?: Readonly<Record<string, StateValue>>;
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
  /** The same where it lies, if that is in this process's memory, else a copy. Only to be read, and only until the next `run`, `write` or `dispose`. */
  view(state: string): Promise<HostArray>;
  /** Sets a state. */
  write(state: string, value: HostArray): Promise<void>;
  /**
   * Sets a state that the graph does not update to an array of another executable, as `view` gives it: it is read where it lies, if that can be, else copied. It must hold
   * its values until this state is set again.
   */
  borrow(state: string, value: HostArray): Promise<void>;
  readonly memory: MemoryPlan;
  /** Lets go of everything. */
  dispose(): Promise<void>;
}

export interface Backend {
  readonly name: 'cpu' | 'webgpu' | 'reference' | 'null';
  /** `f16`: frozen weights and intermediates are kept in f16, so that losses have to be scaled before they are differentiated. By default f32. */
  readonly precision?: 'f32' | 'f16';
  /** What a graph would take here beside the program itself, where that is known without compiling it. */
  plan?(graph: Graph): MemoryPlan;
  /** Whose memory graphs take: the host's, by default, or that of a device, which tells at the compile where it has too little. Throws UserError where there is no device. */
  room?(): Promise<'host' | 'device'>;
  /** Throws UserError where a weight is missing or has another shape. */
  compile(graph: Graph, options?: CompileOptions): Promise<Executable>;
}
