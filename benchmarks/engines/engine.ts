/** @file What an engine is to the benchmark. */
import type { Case } from './cases.ts';

/** A case that is compiled, with its operands on the device, where results stay. */
export interface Prepared {
  /** Computes it once more; it may return before the device has. */
  run(): void | Promise<void>;
  /** Resolves when all has been computed. */
  done(): Promise<void>;
  /** The last result, row-major in the case's own layout. */
  result(): Promise<Float32Array>;
  dispose(): void | Promise<void>;
}

/** Throws where the engine cannot do the case. */
export type Prepare = (
  one: Case,
  numbers: Readonly<Record<string, Float32Array>>,
) => Promise<Prepared>;

export const engineNames = ['sdft', 'jax-js', 'tfjs', 'onnxruntime-web'] as const;
export type EngineName = (typeof engineNames)[number];

/** What a process of an engine is told, one line of JSON each. */
export type Order =
  | { readonly kind: 'prepare'; readonly case: string; readonly result: string }
  | { readonly kind: 'time'; readonly runs: number };

/** What it answers: `seconds` of one run. */
export type Answer =
  | { readonly adapter: string }
  | { readonly seconds: number }
  | { readonly failed: string };
