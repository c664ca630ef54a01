import type { Backend } from '../../src/backend.ts';
import type { Graph } from '../../src/graph/types.ts';
import { drawn, type Results } from '../cpu/support/compute.ts';

/** What each of `count` steps with drawn inputs, weights and states gives, and the states after it. */
export async function train(backend: Backend, graph: Graph, count: number): Promise<Results[]> {
  const { inputs, ...options } = drawn(graph);
  const executable = await backend.compile(graph, options);
  const steps: Results[] = [];
  for (let step = 0; step < count; step++) {
    const results = await executable.run(inputs);
    for (const name of Object.keys(graph.updates))
      results[`state ${name}`] = await executable.read(name);
    steps.push(results);
  }
  await executable.dispose();
  return steps;
}
