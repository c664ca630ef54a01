import { describe, expect, it } from 'vitest';
import { rules } from '../../src/backends/reference/rules.ts';
import type { Graph, Primitive, Shape } from '../../src/graph/types.ts';
import { needed } from '../../src/graph/walk.ts';
import { apply, concat, type Tensor, trace, type Tracer } from '../../src/index.ts';
import { optimize } from '../../src/optimize/optimize.ts';
import { evaluate } from '../support/numerical.ts';
import { randomGraph } from '../support/random-graph.ts';

const seeds = Array.from({ length: 150 }, (_, seed) => seed);
const neededNodes = (graph: Graph): number => needed(graph).filter(Boolean).length;

describe('random graphs', () => {
  it('compute the same afterwards, from fewer nodes', () => {
    let before = 0;
    let after = 0;
    for (const seed of seeds) {
      const { graph, inputs } = randomGraph(seed);
      const small = optimize(graph);
      before += neededNodes(graph);
      after += neededNodes(small);
      expect(neededNodes(small), `seed ${seed}`).toBeLessThanOrEqual(neededNodes(graph));
      const results = evaluate(small, inputs);
      for (const [name, want] of evaluate(graph, inputs)) {
        const got = results.get(name)!;
        const largest = Math.max(...Array.from(want, Math.abs).filter(Number.isFinite), 1e-3);
        // Reordered sums differ by rounding, which a few dozen operations amplify.
        const wrong = Array.from(want).some(
          (w, i) => !(Object.is(w, got[i]) || Math.abs(w - got[i]!) <= 1e-9 * largest),
        );
        expect(wrong, `seed ${seed}, ${name}: ${got} instead of ${want}`).toBe(false);
      }
    }
    expect(after / before).toBeLessThan(0.8);
  });

  it('come to rest: optimizing again changes nothing', () => {
    for (const seed of seeds.slice(0, 40)) {
      const once = optimize(randomGraph(seed).graph);
      expect(optimize(once)).toEqual(once);
    }
  });

  it('contain every primitive', () => {
    const seen = new Set<Primitive>();
    for (const seed of seeds) for (const { op } of randomGraph(seed).graph.nodes) seen.add(op);
    // No random graph reads files; those of test/custom call functions.
    expect(Object.keys(rules).filter((op) => !seen.has(op as Primitive))).toEqual([
      ...['weight', 'custom'],
    ]);
  });
});

/** What is left of f(x) for x [2, 3]: the operations that it needs, in order, with their shapes. */
function left(f: (x: Tensor, t: Tracer) => Tensor): string[] {
  const shape: Shape = [2, 3];
  const graph = optimize(trace((t) => ({ outputs: { y: f(t.input('x', shape), t) } })));
  return graph.nodes.flatMap((node, id) =>
    node.op === 'input' || !needed(graph)[id] ? [] : [`${node.op} ${node.shape.join('x')}`],
  );
}

describe('identities', () => {
  it.each<[string, (x: Tensor, t: Tracer) => Tensor]>([
    ['x + 0', (x) => x.add(0)],
    ['0 + x', (x, t) => t.constant(0).add(x)],
    ['x - 0', (x) => x.sub(0)],
    ['x * 1', (x) => x.mul(1)],
    ['1 * x', (x, t) => t.constant(1, [2, 3]).mul(x)],
    ['x / 1', (x) => x.div(1)],
    ['x ^ 1', (x) => x.pow(1)],
    ['-(-x)', (x) => x.neg().neg()],
    ['x * -1 * -1', (x) => x.mul(-1).div(-1)],
    ['max(x, x)', (x) => x.maximum(x)],
    ['where(c, x, x)', (x) => x.less(0).where(x, x)],
    ['where(true, x, 0)', (x, t) => t.constant(1).less(2).where(x, 0)],
    ['reshape to itself', (x) => x.reshape([2, 3])],
    ['reshape and back', (x) => x.reshape([6]).reshape([2, 3])],
    ['permute and back', (x) => x.transpose().transpose()],
    ['broadcast to itself', (x) => apply('broadcast', [x], { shape: [2, 3] })],
    ['pad by nothing', (x) => x.pad([[0, 0]])],
    ['slice of all', (x) => x.slice(1, 0, 3)],
    ['pad and cut off again', (x) => x.pad([[1, 2]]).slice(1, 1, 4)],
    ['join and take out again', (x) => concat([x.exp(), x, x.sin()]).slice(0, 2, 4)],
    ['sum over axes of length 1', (x) => x.unsqueeze(0).sum(0, { keepDims: true }).reshape([2, 3])],
    ['cast to its own type', (x) => apply('cast', [x], { dtype: 'f32' })],
    ['stopGradient', (x) => x.stopGradient()],
  ])('%s is x', (_, f) => {
    expect(left(f)).toEqual([]);
  });

  it.each<[string, (x: Tensor, t: Tracer) => Tensor, string[]]>([
    ['x * -1', (x) => x.mul(-1), ['neg 2x3']],
    ['x + -y', (x) => x.add(x.exp().neg()), ['exp 2x3', 'sub 2x3']],
    ['-x + y', (x) => x.neg().add(x.exp()), ['exp 2x3', 'sub 2x3']],
    ['x - -y', (x) => x.sub(x.exp().neg()), ['exp 2x3', 'add 2x3']],
    ['-x * -y', (x) => x.neg().mul(x.exp().neg()), ['exp 2x3', 'mul 2x3']],
    ['-x * 2', (x) => x.neg().mul(2), ['constant 1x1', 'broadcast 2x3', 'mul 2x3']],
    ['x ^ 2', (x) => x.pow(2), ['mul 2x3']],
    ['|-x|', (x) => x.neg().abs(), ['abs 2x3']],
    ['reshape of reshape', (x) => x.reshape([6]).reshape([3, 2]), ['reshape 3x2']],
    [
      'permute of permute',
      (x) => x.unsqueeze(0).broadcastTo([4, 2, 3]).transpose(0, 1).transpose(1, 2),
      ['reshape 1x2x3', 'broadcast 4x2x3', 'permute 2x3x4'],
    ],
    ['moving axes of length 1', (x) => x.unsqueeze(0).permute([1, 0, 2]), ['reshape 2x1x3']],
    [
      'broadcast of broadcast',
      (x) => x.unsqueeze(1).broadcastTo([2, 4, 3]).unsqueeze(0).broadcastTo([5, 2, 4, 3]),
      ['reshape 2x1x3', 'broadcast 2x4x3', 'reshape 1x2x4x3', 'broadcast 5x2x4x3'],
    ],
    ['pad of pad', (x) => x.pad([[1, 0]]).pad([[0, 2]]), ['pad 2x6']],
    ['slice of slice', (x) => x.slice(1, 1).slice(1, 1), ['slice 2x1']],
    ['slice inside of a pad', (x) => x.pad([[1, 2]]).slice(1, 2, 4), ['slice 2x2']],
    ['sum of a sum', (x) => x.sum(0, keep).sum(1, keep), ['reduceSum 1x1']],
    ['max of a max', (x) => x.max(1, keep).max(0, keep), ['reduceMax 1x1']],
    [
      'sum of repeated rows',
      (x) => x.sum(0, keep).broadcastTo([2, 3]).sum(0, keep),
      ['reduceSum 1x3', 'constant 1x1', 'broadcast 1x3', 'mul 1x3'],
    ],
    [
      'max of repeated rows',
      (x) => x.max(0, keep).broadcastTo([2, 3]).max(0, keep),
      ['reduceMax 1x3'],
    ],
    [
      'a function of repeated rows',
      (x) => x.sum(0, keep).broadcastTo([2, 3]).exp().add(1).sin(),
      [
        'reduceSum 1x3',
        'exp 1x3',
        'constant 1x1',
        'broadcast 1x3',
        'add 1x3',
        'sin 1x3',
        'broadcast 2x3',
      ],
    ],
    ['a product of transposed', (x) => x.transpose().matmul(x), ['matmul 3x3']],
    [
      'cast of a truth value twice',
      (x) => x.less(x).cast('i32').cast('f32'),
      ['less 2x3', 'cast 2x3'],
    ],
  ])('%s', (_, f, nodes) => {
    expect(left(f)).toEqual(nodes);
  });

  it.each<[string, (x: Tensor, t: Tracer) => Tensor]>([
    ['x * 0 is NaN for NaN and infinity', (x) => x.mul(0)],
    ['x - x too', (x) => x.sub(x)],
    ['x / x too', (x) => x.div(x)],
    ['x = x fails for NaN', (x) => x.equal(x).cast('f32')],
    ['0 / x too', (x, t) => t.constant(0).div(x)],
    ['log of exp loses what overflows', (x) => x.exp().log()],
    ['a float loses its fraction in i32', (x) => x.cast('i32').cast('f32')],
    ['x + 1e30 - 1e30 loses x', (x) => x.add(1e30).sub(1e30)],
  ])('%s: it stays', (_, f) => {
    const graph = trace((t) => ({ outputs: { y: f(t.input('x', [2, 3]), t) } }));
    expect(neededNodes(optimize(graph))).toBeGreaterThan(1);
    const data = Float64Array.of(Number.NaN, Number.POSITIVE_INFINITY, -0, 1.5, 1e300, -2);
    const inputs = new Map([['x', data]]);
    expect(evaluate(optimize(graph), inputs)).toEqual(evaluate(graph, inputs));
  });

  const keep = { keepDims: true };
});

describe('constants', () => {
  const constantsOf = (f: (t: Tracer) => Tensor) => {
    const { nodes, outputs } = optimize(trace((t) => ({ outputs: { y: f(t) } })));
    const node = nodes[outputs.y!]!;
    return node.op === 'constant' ? node.attrs.data : node.op;
  };
  it('are computed now, in double precision', () => {
    expect(constantsOf((t) => t.constant([1, 2, 3]).mul(0.1).add(1).sum())).toEqual([
      1.1 + 1.2 + (3 * 0.1 + 1),
    ]);
    expect(
      constantsOf((t) => t.constant([3, 1, 2]).gather(t.constant([2, 0], [2], 'i32'))),
    ).toEqual([2, 3]);
  });
  it('stay one number where all elements are the same', () => {
    expect(constantsOf((t) => t.constant(2).broadcastTo([100, 100]).sqrt().sum())).toHaveLength(1);
    const graph = optimize(
      trace((t) => ({ outputs: { y: t.constant(2).broadcastTo([1000, 1000]).sqrt() } })),
    );
    expect(graph.nodes.map((n) => n.op)).toEqual(['constant', 'broadcast']);
  });
  it('that would be large are left to the run', () => {
    const row = Array.from({ length: 100 }, (_, i) => i);
    expect(
      constantsOf((t) =>
        t
          .constant(row)
          .add(t.constant(row).reshape([100, 1]))
          .exp(),
      ),
    ).toBe('exp');
  });
  it('with an index outside of their table are refused', () => {
    expect(() => constantsOf((t) => t.constant([1]).gather(t.constant([1], [1], 'i32')))).toThrow(
      'gather: index 1 is not among the 1 rows',
    );
  });
});

describe('what stays', () => {
  it('inputs and states, even where nothing reads them', () => {
    const graph = optimize(
      trace((t) => {
        t.input('unread', [2]);
        const s = t.state('unread state', [2]);
        return { outputs: { y: t.input('x', [2]).exp() }, updates: { 'unread state': s } };
      }),
    );
    const names = graph.nodes.flatMap((n) => (n.op === 'input' ? [n.attrs.name] : []));
    expect(names).toEqual(['unread', 'unread state', 'x']);
    expect(graph.nodes.some((n) => n.op === 'exp')).toBe(true);
  });

  it('the layers of nodes', () => {
    const graph = optimize(
      trace((t) => ({
        outputs: { y: t.at('unet.mid', () => t.input('x', [2]).exp().mul(1).add(0).sin()) },
      })),
    );
    expect(graph.nodes.filter((n) => n.op === 'sin').map((n) => n.path)).toEqual(['unet.mid']);
  });

  it('a barrier, and what only it keeps apart', () => {
    const traced = (guard: (x: Tensor, ticket: Tensor) => Tensor): Graph =>
      trace((t) => {
        const x = t.input('x', [4]);
        const first = x.exp().sin();
        const again = guard(x, first).exp().sin();
        return { outputs: { y: first.mul(again) } };
      });
    const count = (graph: Graph, op: Primitive) => graph.nodes.filter((n) => n.op === op).length;
    const merged = optimize(traced((x) => x.add(0)));
    expect([count(merged, 'exp'), count(merged, 'sin')]).toEqual([1, 1]);
    const apart = optimize(traced((x, ticket) => apply('barrier', [x, ticket], {}).add(0)));
    expect([count(apart, 'exp'), count(apart, 'sin')]).toEqual([2, 2]);
  });
});
