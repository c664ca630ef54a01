import { describe, expect, it } from 'vitest';
import { divide, type Divided, partName } from '../../src/graph/divide.ts';
import type { Graph } from '../../src/graph/types.ts';
import { needed } from '../../src/graph/walk.ts';
import {
  attention,
  grad,
  hostArray,
  type HostArray,
  reference,
  softmax,
  type Tensor,
  trace,
} from '../../src/index.ts';
import { compute, drawn, expectNear, type Given, type Results } from '../cpu/support/compute.ts';
import { unetLike } from '../cpu/support/unetLike.ts';
import { randomGraph } from '../support/random-graph.ts';

const whatever = { mostBytes: Infinity, leastShare: 0 };
const seeds = (count: number) => Array.from({ length: count }, (_, seed) => seed);

const partOf = ({ data, shape: [first, ...others] }: HostArray, k: number, parts: number) => {
  const size = data.length / parts;
  return hostArray(data.slice(k * size, (k + 1) * size), [first! / parts, ...others]) as HostArray;
};
/** The names of the inputs that a graph has. */
const inputsOf = ({ nodes }: Graph): string[] =>
  nodes.flatMap((node) => (node.op === 'input' && !node.attrs.state ? [node.attrs.name] : []));
const pick = (values: Results, names: readonly string[]): Results =>
  Object.fromEntries(names.flatMap((name) => (values[name] ? [[name, values[name]]] : [])));
const statesOf = ({ nodes }: Graph): string[] =>
  nodes.flatMap((node) => (node.op === 'input' && node.attrs.state ? [node.attrs.name] : []));

/** Share by share, and then the rest, in double precision. */
async function computeDivided({ share, rest, cut, parts }: Divided, given: Given) {
  const run = (graph: Graph, inputs: Results) =>
    compute(reference, graph, {
      weights: given.weights,
      state: pick(given.state, statesOf(graph)),
      inputs: pick(inputs, inputsOf(graph)),
    });
  const between: Results = {};
  for (let k = 0; k < parts; k++) {
    const inputs = Object.entries(given.inputs).map(
      ([name, value]) => [name, cut.has(name) ? partOf(value, k, parts) : value] as const,
    );
    const outputs = await run(share, Object.fromEntries(inputs));
    for (const [name, value] of Object.entries(outputs)) between[partName(k, name)] = value;
  }
  return run(rest, { ...given.inputs, ...between });
}

describe('a divided graph', () => {
  it.for(seeds(12))('of a network that learns gives the same: seed %i', async (seed) => {
    const graph = unetLike(seed);
    const given = drawn(graph);
    const batch = Math.max(...Object.values(given.inputs).map(({ shape }) => shape[0] ?? 1));
    const divided = divide(graph, 3);
    expect(divided?.parts, `batch ${batch}`).toBe(batch === 1 ? undefined : batch);
    if (divided)
      expectNear(await computeDivided(divided, given), await compute(reference, graph, given));
  });

  it('gives the same for random graphs, as far as they can be', async () => {
    let divisions = 0;
    for (const seed of seeds(60)) {
      const { graph } = randomGraph(seed);
      const divided = divide(graph, 2, whatever);
      if (!divided) continue;
      divisions++;
      const given = drawn(graph);
      expectNear(await computeDivided(divided, given), await compute(reference, graph, given));
    }
    expect(divisions).toBeGreaterThan(20);
  });

  const shapes = (build: (x: Tensor) => Tensor) =>
    trace((t) => {
      const x = t.input('x', [4, 6, 8]);
      const w = t.state('w', [8]);
      const loss = build(x.mul(w)).square().mean();
      const [slope] = grad(loss, [w]);
      return { outputs: { loss, slope: slope! }, updates: { w: w.sub(slope!) } };
    });

  it('computes all but the sums over the batch in its shares', () => {
    const graph = shapes((x) => attention(x, x, x, { heads: 2 }));
    const { share, rest, cut, parts } = divide(graph, 8)!;
    expect({ parts, cut: [...cut] }).toEqual({ parts: 4, cut: ['x'] });
    const live = needed(rest);
    const late = rest.nodes.filter((node, id) => live[id] && node.shape.length > 1);
    expect(late.map(({ shape }) => shape)).toEqual(
      late.map(({ shape }) => shape.map((d) => (d === 8 ? 8 : 1))),
    );
    expect(share.nodes.filter(({ op }) => op === 'composite')).toHaveLength(2);
  });

  it('has as many shares as divide the batch', () => {
    const graph = shapes((x) => x.exp());
    expect([1, 2, 3, 4, 9].map((most) => divide(graph, most)?.parts)).toEqual([
      undefined,
      2,
      2,
      4,
      4,
    ]);
    expect([2, 4].map((most) => divide(graph, most, { leastRows: 2 })?.parts)).toEqual([2, 2]);
    expect(divide(graph, 4, { leastRows: 3 })).toBeUndefined();
  });

  it.for<{ why: string; build: (x: Tensor) => Tensor }>([
    {
      why: 'a mean over the batch is taken off',
      build: (x) =>
        x
          .sub(x.mean(0, { keepDims: true }))
          .exp()
          .exp(),
    },
    {
      why: 'the largest of the batch is taken off',
      build: (x) => x.sub(x.max(0, { keepDims: true })).exp(),
    },
    { why: 'pictures see one another', build: (x) => softmax(x.reshape([1, 24, 8]), 1).exp() },
    {
      why: 'numbers of several pictures are mixed',
      build: (x) =>
        softmax(x.reshape([6, 4, 8]), 1)
          .exp()
          .exp(),
    },
  ])('is not made where $why', ({ build }) => {
    expect(divide(shapes(build), 4)).toBeUndefined();
  });
});
