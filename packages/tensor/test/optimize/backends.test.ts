import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/graph/types.ts';
import { type Backend, hostArray, optimize, reference, type Shape } from '../../src/index.ts';
import { backends } from '../support/backends.ts';
import { randomGraph } from '../support/random-graph.ts';

const seeds = Array.from({ length: 20 }, (_, seed) => seed);

async function run(backend: Backend, graph: Graph, seed: number) {
  const { inputs } = randomGraph(seed);
  const given = (name: string, shape: Shape) =>
    hostArray(Float32Array.from(inputs.get(name)!), shape);
  const executable = await backend.compile(graph, { state: { s: given('s', [2, 3]) } });
  const results = await executable.run({ a: given('a', [2, 3]), b: given('b', [3, 1, 2]) });
  const s = await executable.read('s');
  await executable.dispose();
  return { ...results, s };
}

describe.for(backends)('random graphs on $backend.name', ({ backend }) => {
  it.for(seeds)('agree with the reference, optimized or not: seed %i', async (seed) => {
    const { graph } = randomGraph(seed);
    const expected = await run(reference, graph, seed);
    for (const variant of [graph, optimize(graph)]) {
      const results: Readonly<Record<string, { data: ArrayLike<number> }>> = await run(
        backend,
        variant,
        seed,
      );
      for (const [name, { data }] of Object.entries(expected)) {
        const wanted = Array.from(data);
        const largest = Math.max(1e-3, ...wanted.map(Math.abs).filter(Number.isFinite));
        const got = results[name]!.data;
        // Some thirty operations, differences of nearly equal numbers among them, amplify the rounding of f32.
        const wrong = wanted.filter(
          (want, i) => !(Object.is(want, got[i]) || Math.abs(want - got[i]!) <= 1e-4 * largest),
        );
        expect(wrong, `${name}: ${got} instead of ${wanted}`).toEqual([]);
      }
    }
  });
});
