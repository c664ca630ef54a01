import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/graph/builder.ts';
import type { Graph } from '../../src/graph/types.ts';
import { expandComposites, needed, rewrite, usersOf } from '../../src/graph/walk.ts';
import { attention, softmax, trace } from '../../src/index.ts';

const ops = (graph: Graph): string[] => graph.nodes.map((n) => n.op);

describe('the builder', () => {
  it('makes equal nodes one, and unequal ones two', () => {
    const builder = new GraphBuilder();
    const constant = (value: number) =>
      builder.add('constant', [], { data: [value], type: { shape: [], dtype: 'f32' } });
    expect(constant(1)).toBe(constant(1));
    expect(constant(0)).not.toBe(constant(-0));
    expect(constant(Number.NaN)).toBe(constant(Number.NaN));
    expect(constant(Number.POSITIVE_INFINITY)).not.toBe(constant(Number.NEGATIVE_INFINITY));
    const x = builder.add('input', [], {
      name: 'x',
      type: { shape: [2, 3], dtype: 'f32' },
      state: false,
    });
    const sum = (axes: number[]) => builder.add('reduceSum', [x], { axes });
    expect(sum([0])).toBe(sum([0]));
    expect(sum([0])).not.toBe(sum([1]));
  });

  it('keeps what regions compute apart, but not what they read', () => {
    const { nodes } = trace((t) => {
      const x = t.input('x', [2]);
      const layer = () => t.recompute(() => x.exp().mul(t.weight('w', [2])));
      return { outputs: { y: layer().add(layer()).add(x.exp()) } };
    });
    expect(nodes.filter((n) => n.op === 'exp').map((n) => n.region)).toEqual([1, 2, 0]);
    expect(nodes.filter((n) => n.op === 'weight').map((n) => n.region)).toEqual([0]);
  });
});

describe('walking', () => {
  const graph = trace((t) => {
    const x = t.input('x', [1, 2, 4]);
    t.input('unread', [1]);
    x.sin();
    const y = t.at('layer', () => t.recompute(() => attention(x, x, x, { heads: 2 })));
    return { outputs: { y: y.add(y) } };
  });

  it('knows what is needed and who reads what', () => {
    const live = needed(graph);
    expect(ops(graph).filter((_, id) => live[id])).toEqual(['input', 'composite', 'add']);
    const at = ops(graph).indexOf('composite');
    const add = ops(graph).indexOf('add');
    expect(usersOf(graph)[at]).toEqual([add, add]);
  });

  it('rewrites what is needed, with layers and regions, and keeps inputs', () => {
    const copy = rewrite(graph, () => undefined);
    expect(ops(copy)).toEqual(['input', 'input', 'composite', 'add']);
    expect(copy.nodes[2]).toMatchObject({ path: 'layer', region: 1 });
  });

  it('spells composites out to the last, or all but some', () => {
    const plain = expandComposites(graph);
    expect(ops(plain)).not.toContain('composite');
    expect(plain.nodes.filter((n) => n.op === 'exp')).toMatchObject([{ path: 'layer', region: 1 }]);
    const kept = expandComposites(graph, (node) => node.attrs.definition.name === 'softmax');
    expect(kept.nodes.filter((n) => n.op === 'composite')).toHaveLength(1);
    const all = expandComposites(graph, () => true);
    expect(all).toBe(graph);
  });

  it('finds the parts of what it spells out', () => {
    const spelled = expandComposites(
      trace((t) => ({ outputs: { y: softmax(t.input('x', [2, 3])) } })),
    );
    expect(ops(spelled)).toContain('reduceMax');
    expect(ops(spelled)).not.toContain('part');
  });
});
