/** @file What WebGPU finds on this machine, for people who want to know. */
import { targetOf } from '../../backends/webgpu/target.ts';
import type { Target } from '../../backends/webgpu/kernel.ts';
import { factsOf, findAdapter } from './adapter.ts';
import { mend } from './backend.ts';

export interface AdapterReport {
  readonly name: string;
  /** It computes on the processor: for trying things out. */
  readonly software: boolean;
  readonly features: readonly string[];
  /** What kernels may count on. */
  readonly target: Target;
}

/** The adapter that the webgpu backend would take; where there is none, what to do. Throws UserError if Dawn cannot be loaded. */
export async function inspectWebgpu(): Promise<AdapterReport | { readonly mend: string }> {
  const found = await findAdapter('any');
  if (!found) return { mend };
  const { adapter, name, software } = found;
  return {
    name,
    software,
    features: [...adapter.features].sort(),
    target: targetOf(factsOf(adapter, software)),
  };
}
