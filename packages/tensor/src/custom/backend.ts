/** @file Custom operations for a backend that cannot call functions: it compiles what lies between them, and they run on the host. */
import type { Backend, CompileOptions, Executable, MemoryPlan } from '../backend.ts';
import type { Graph } from '../graph/types.ts';
import { signatureOf, takeStates } from '../host/signature.ts';
import { memoryOf, SegmentedExecutable, type SegmentRun } from './executable.ts';
import { openKernels } from './kernels.ts';
import { computes, hasCustom, split } from './split.ts';

/** The backend's compile, for graphs with custom operations too. Graphs without them are left to it whole, and gpu.js is not loaded. */
export const aroundCustomOps =
  (compile: Backend['compile']): Backend['compile'] =>
  async (graph, options = {}) =>
    hasCustom(graph) ? compileSegments(compile, graph, options) : compile(graph, options);

/** The backend's plan, for graphs with custom operations too: every part has memory of its own, and what goes from one to the next lies between them. */
export const planAroundCustomOps =
  (plan: (graph: Graph) => MemoryPlan) =>
  (graph: Graph): MemoryPlan => {
    if (!hasCustom(graph)) return plan(graph);
    const segments = split(graph);
    const parts = segments.map((segment) => ({
      executable: computes(segment) ? { memory: plan(segment.graph) } : undefined,
      inputs: [...signatureOf(segment.graph).inputs.keys()],
      custom: segment.custom,
    }));
    return memoryOf(graph, parts);
  };

async function compileSegments(
  compile: Backend['compile'],
  graph: Graph,
  { weights, state = {} }: CompileOptions,
): Promise<Executable> {
  const segments = split(graph);
  const calls = segments.flatMap(({ custom }) => custom);
  // Before anything large is compiled: a kernel that cannot be translated is the likeliest fault.
  const kernels = await openKernels(
    calls.map(({ node }) => node),
    graph,
  );
  const owner = segments.findLastIndex(computes);
  const runs: SegmentRun[] = [];
  const initial = new Set<string>();
  for (const [name] of takeStates(signatureOf(graph), state)) initial.add(name);
  try {
    for (const [at, segment] of segments.entries()) {
      const { inputs, states } = signatureOf(segment.graph);
      runs.push({
        executable: computes(segment)
          ? await compile(segment.graph, {
              ...(weights && { weights }),
              ...(at === owner && { state }),
            })
          : undefined,
        inputs: [...inputs.keys()],
        states: [...states.keys()],
        custom: segment.custom.map(({ id, node }) => ({ id, node, run: kernels.runOf(node) })),
        done: segment.done,
      });
    }
  } catch (error) {
    await kernels.close();
    for (const { executable } of runs) await executable?.dispose();
    throw error;
  }
  return new SegmentedExecutable(graph, { runs, owner }, initial, () => kernels.close());
}
