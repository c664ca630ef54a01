import { describe, it } from 'vitest';
import type { Backend } from '../../src/backend.ts';
import type { Graph } from '../../src/graph/types.ts';
import { reference } from '../../src/index.ts';
import { type CpuOptions, cpu } from '../../src/node/index.ts';
import { drawn, expectNear, type Results } from './support/compute.ts';
import { unetLike } from './support/unetLike.ts';

const STEPS = 3;

/** What each step gives, and the states after it. */
async function train(backend: Backend, graph: Graph): Promise<Results[]> {
  const { inputs, ...options } = drawn(graph);
  const executable = await backend.compile(graph, options);
  const steps: Results[] = [];
  for (let step = 0; step < STEPS; step++) {
    const results = await executable.run(inputs);
    for (const name of Object.keys(graph.updates))
      results[`state ${name}`] = await executable.read(name);
    steps.push(results);
  }
  await executable.dispose();
  return steps;
}

const variants: readonly CpuOptions[] = [
  { threads: 1 },
  { threads: 2, packBytes: 0 },
  { threads: 1, packBytes: 3000, chunkBytes: 500 },
  { threads: 1, session: { prepacking: false, memoryPattern: true, arena: false } },
];
const seeds = Array.from({ length: 5 }, (_, seed) => seed);

describe('networks made up at random learn as in the reference', () => {
  it.for(seeds)('seed %i', async (seed) => {
    const graph = unetLike(seed);
    const wanted = await train(reference, graph);
    for (const options of variants) {
      const got = await train(cpu(options), graph);
      // Some hundred operations deep, three steps after each other.
      wanted.forEach((want, step) => expectNear(got[step]!, want, 200));
    }
  });
});
