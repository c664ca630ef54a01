/** @file Random graphs, some of whose primitives were replaced by custom operations, give what they gave before, however they are cut. */
import { describe, expect, it } from 'vitest';
import { aroundCustomOps } from '../../src/custom/backend.ts';
import { split } from '../../src/custom/split.ts';
import { type CustomDefinition, type Graph, sizeOf } from '../../src/graph/types.ts';
import { rewrite } from '../../src/graph/walk.ts';
import {
  type Backend,
  customOp,
  hostArray,
  reference,
  type Shape,
  type Tensor,
  trace,
} from '../../src/index.ts';
import { randomGraph } from '../support/random-graph.ts';

const definitionOf = (op: (...inputs: Tensor[]) => Tensor, inputs: number): CustomDefinition => {
  const { nodes, outputs } = trace((t) => ({
    outputs: { y: op(...Array.from({ length: inputs }, (_, i) => t.input(`x${i}`, [1]))) },
  }));
  const node = nodes[outputs['y']!]!;
  return (node.attrs as { readonly definition: CustomDefinition }).definition;
};
const definitions: Readonly<Record<string, CustomDefinition>> = {
  tanh: definitionOf(
    customOp({
      name: 'tanh',
      output: (x) => x.shape,
      kernel(x: number[]) {
        return Math.tanh(x[this.thread.x]!);
      },
    }),
    1,
  ),
  mul: definitionOf(
    customOp({
      name: 'mul',
      output: (a) => a.shape,
      kernel(a: number[], b: number[]) {
        return a[this.thread.x]! * b[this.thread.x]!;
      },
    }),
    2,
  ),
};

const replaced = (graph: Graph): Graph =>
  rewrite(graph, (builder, node, inputs) => {
    const definition = definitions[node.op];
    if (!definition || node.dtype !== 'f32') return undefined;
    const shape = [sizeOf(node.shape)];
    const flat = inputs.map((input) => builder.add('reshape', [input], { shape }));
    return builder.add('reshape', [builder.add('custom', flat, { definition, shape })], {
      shape: node.shape,
    });
  });

/** Two steps, and the state after them. */
async function follow(compile: Backend['compile'], graph: Graph, seed: number) {
  const { inputs } = randomGraph(seed);
  const given = (name: string, shape: Shape) =>
    hostArray(Float32Array.from(inputs.get(name)!), shape);
  const executable = await compile(graph, { state: { s: given('s', [2, 3]) } });
  const call = { a: given('a', [2, 3]), b: given('b', [3, 1, 2]) };
  await executable.run(call);
  const results = await executable.run(call);
  const s = await executable.read('s');
  await executable.dispose();
  return { ...results, s } as Readonly<Record<string, { readonly data: ArrayLike<number> }>>;
}

const seeds = Array.from({ length: 24 }, (_, seed) => seed);

describe('random graphs with custom operations', () => {
  it('are cut several times, somewhere', () => {
    const parts = seeds.map((seed) => split(replaced(randomGraph(seed).graph)).length);
    expect(Math.max(...parts)).toBeGreaterThan(5);
  });
  it.for(seeds)('give what they gave before: seed %i', async (seed) => {
    const { graph } = randomGraph(seed);
    const wanted = await follow(reference.compile, graph, seed);
    const got = await follow(aroundCustomOps(reference.compile), replaced(graph), seed);
    for (const [name, { data }] of Object.entries(wanted)) {
      const all = Array.from(data);
      const largest = Math.max(1e-3, ...all.map(Math.abs).filter(Number.isFinite));
      const own = got[name]!.data;
      // Values are rounded to f32 at each cut, which differences of nearly equal numbers amplify.
      const wrong = all.filter(
        (want, i) => !(Object.is(want, own[i]) || Math.abs(want - own[i]!) <= 1e-4 * largest),
      );
      expect(wrong, `${name}: ${String(own)} instead of ${String(all)}`).toEqual([]);
    }
  });
});
