import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { draws, reference, stack, trace } from '../../src/index.ts';
import type { OnnxNode } from '../../src/node/cpu/onnx.ts';
import { inOrder } from '../../src/node/cpu/order.ts';
import { soonerReductions } from '../../src/node/cpu/sooner.ts';
import { cpu } from '../../src/node/index.ts';
import { drawn, expectNear } from './support/compute.ts';
import { unetLike } from './support/unetLike.ts';

const node = (name: string, inputs: string[], count = 1): OnnxNode => ({
  opType: 'Sum',
  domain: '',
  name,
  inputs,
  outputs: Array.from({ length: count }, (_, i) => `${name}.${i}`),
  attributes: {},
});

/** The order in which ONNX Runtime 1.30 computes: depth first from the nodes that nobody reads; of several, the last in the list first. */
function orderOf(nodes: readonly OnnxNode[]): string[] {
  const maker = new Map(nodes.flatMap((n, i) => n.outputs.map((output) => [output, i] as const)));
  const parents = nodes.map((n) =>
    [...new Set(n.inputs.flatMap((input) => maker.get(input) ?? []))].sort((a, b) => b - a),
  );
  const read = new Set(parents.flat());
  const visited = new Set<number>();
  const order: string[] = [];
  const visit = (i: number): void => {
    if (visited.has(i)) return;
    visited.add(i);
    for (const parent of parents[i]!) visit(parent);
    order.push(nodes[i]!.name);
  };
  for (let i = nodes.length - 1; i >= 0; i--) if (!read.has(i)) visit(i);
  return order;
}
const withoutMarkers = (names: readonly string[]) => names.filter((n) => !n.startsWith('order/'));

describe('nodes in order', () => {
  it('need markers: a first part for each of two results is put off', () => {
    const nodes = [
      node('a', ['x']),
      node('b', ['x']),
      node('left', ['a.0']),
      node('right', ['a.0', 'b.0']),
      node('sum', ['left.0', 'left.0']),
    ];
    expect(orderOf(nodes)).toEqual(['a', 'left', 'sum', 'b', 'right']);
    expect(withoutMarkers(orderOf(inOrder(nodes)))).toEqual(['a', 'b', 'left', 'right', 'sum']);
  });

  it('get none where each reads those before', () => {
    const nodes = [
      node('a', ['x']),
      node('b', ['a.0']),
      node('c', ['x']),
      node('d', ['c.0', 'b.0']),
      node('e', ['x']),
    ];
    expect(inOrder(nodes)).toEqual([...nodes].reverse());
    expect(inOrder([])).toEqual([]);
  });

  it.for(Array.from({ length: 30 }, (_, seed) => seed))(
    'are computed as they stand: seed %i',
    (seed) => {
      let drawnSoFar = 0;
      const pick = (below: number): number =>
        draws(seed).integers('pick', drawnSoFar++, [], below).data[0]!;
      const values = ['x', 'y'];
      const nodes = Array.from({ length: 40 }, (_, i) => {
        const inputs = Array.from({ length: 1 + pick(3) }, () => values[pick(values.length)]!);
        const made = node(`n${i}`, pick(2) ? [...inputs, values.at(-1)!] : inputs, 1 + pick(2));
        values.push(...made.outputs);
        return made;
      });
      expect(withoutMarkers(orderOf(inOrder(nodes)))).toEqual(nodes.map((n) => n.name));
    },
  );
});

describe('ONNX Runtime', () => {
  it.for([0, 3])('computes a whole network in the order of its graph: seed %i', async (seed) => {
    const folder = mkdtempSync(join(tmpdir(), 'order-test-'));
    const graph = unetLike(seed);
    const { inputs, ...options } = drawn(graph);
    const backend = cpu({ threads: 1, chunkBytes: 300, profile: join(folder, 'profile') });
    const executable = await backend.compile(graph, options);
    await executable.run(inputs);
    await executable.dispose();
    const [file] = readdirSync(folder);
    const events = JSON.parse(readFileSync(join(folder, file!), 'utf8')) as {
      name: string;
      ts: number;
      cat: string;
    }[];
    rmSync(folder, { recursive: true });
    // Names end with the number of the node in the order in which they were made: LAYER/OPERATOR_NUMBER_kernel_time.
    const numbers = events
      .filter(({ cat, name }) => cat === 'Node' && !name.startsWith('order/'))
      .sort((a, b) => a.ts - b.ts)
      .flatMap(({ name }) => /_(\d+)_kernel_time$/.exec(name)?.[1] ?? [])
      .map(Number);
    expect(numbers.length).toBeGreaterThan(300);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });
});

describe('reductions', () => {
  const graph = trace((t) => {
    const x = t.input('x', [4, 8]);
    const first = x.sin();
    const second = first.cos();
    const shared = second.square();
    const norms = stack([first.square().sum(), second.abs().sum(), shared.sum()]);
    return { outputs: { norms, shared, wide: second.sum([0]) } };
  });
  const places = new Map(graph.nodes.map((node, id) => [node.op, id]));

  it('come right after what they sum up, also through what only they read', () => {
    const sums = graph.nodes.flatMap(({ op }, id) => (op === 'reduceSum' ? [id] : []));
    const sooner = soonerReductions(graph);
    const after = (id: number) => [...sooner].find(([, all]) => all.includes(id))?.[0];
    expect(sums.map(after)).toEqual([
      places.get('sin'),
      places.get('cos'),
      // The squares are a result of their own.
      graph.outputs['shared'],
      places.get('cos'),
    ]);
  });

  it('give the same', async () => {
    const { inputs } = drawn(graph);
    const [fast, slow] = await Promise.all(
      [cpu({ threads: 1 }), reference].map((b) => b.compile(graph)),
    );
    expectNear(await fast!.run(inputs), await slow!.run(inputs), 20);
    await fast!.dispose();
  });
});
