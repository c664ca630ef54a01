/** @file The kernels of a graph's custom operations on the host, one for each operation and shape. */
import type { HostArray } from '../backend.ts';
import type { AnyNode, Graph } from '../graph/types.ts';
import { hostArray } from '../host/array.ts';
import { type HostKernel, type KernelCall, openTranslator } from './gpujs.ts';

export type CustomNode = AnyNode & { op: 'custom' };
/** Row-major arrays in and out. */
export type RunKernel = (inputs: readonly HostArray[]) => Promise<HostArray>;

export interface Kernels {
  runOf(node: CustomNode): RunKernel;
  close(): Promise<void>;
}

export const callOf = (node: CustomNode, { nodes }: Graph): KernelCall => ({
  definition: node.attrs.definition,
  inputs: node.inputs.map((input) => nodes[input]!.shape),
  output: node.shape,
  path: node.path,
});

/** Translates the kernels of `nodes`. Throws UserError where gpu.js is not there or cannot. */
export async function openKernels(nodes: readonly CustomNode[], graph: Graph): Promise<Kernels> {
  const translator = await openTranslator();
  const opened = new Map<object, Map<string, HostKernel>>();
  const close = async (): Promise<void> => {
    for (const bySize of opened.values())
      for (const kernel of bySize.values()) await kernel.close();
    opened.clear();
  };
  const kernelOf = (node: CustomNode): HostKernel => {
    const call = callOf(node, graph);
    const bySize = opened.get(call.definition) ?? new Map<string, HostKernel>();
    opened.set(call.definition, bySize);
    const key = JSON.stringify([call.inputs, call.output]);
    const kernel = bySize.get(key) ?? translator.open(call);
    bySize.set(key, kernel);
    return kernel;
  };
  try {
    for (const node of nodes) kernelOf(node);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    runOf: (node) => {
      const kernel = kernelOf(node);
      return async (inputs) =>
        hostArray(
          await kernel.run(inputs.map(({ data }) => data as Float32Array)),
          node.shape,
        ) as HostArray;
    },
    close,
  };
}
