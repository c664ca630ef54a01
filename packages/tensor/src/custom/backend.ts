/** @file Custom operations for a backend that cannot call functions: it compiles what lies between them, and they run on the host. */
import type { Backend, CompileOptions, Executable } from '../backend.ts';
import type { Graph } from '../graph/types.ts';
import { signatureOf, takeStates } from '../host/signature.ts';
import { SegmentedExecutable, type SegmentRun } from './executable.ts';
import { openKernels } from './kernels.ts';
import { computes, hasCustom, split } from './split.ts';

/** The backend's compile, for graphs with custom operations too. Graphs without them are left to it whole, and gpu.js is not loaded. */
export const aroundCustomOps =
  (compile: Backend['compile']): Backend['compile'] =>
  async (graph, options = {}) =>
    hasCustom(graph) ? compileSegments(compile, graph, options) : compile(graph, options);

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
