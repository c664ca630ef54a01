/** @file Graphs made up from a seed, over all primitives, with the shapes and the redundancy of real ones. */
import type { Data } from '../../src/backends/reference/strided.ts';
import { grad } from '../../src/grad/grad.ts';
import type { Graph } from '../../src/graph/types.ts';
import {
  apply,
  concat,
  draws,
  layerNorm,
  silu,
  softmax,
  type Tensor,
  trace,
  type Tracer,
} from '../../src/index.ts';

/** An integer from 0 to `below` - 1. */
type Pick = (below: number) => number;

const choose = <T>(pick: Pick, list: readonly T[]): T => list[pick(list.length)]!;
const factors = (n: number): number[] =>
  Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
/** Between -1 and 1, so that towers of functions stay finite. */
const tame = (x: Tensor): Tensor => x.tanh();
const interesting = [0, 1, -1, 2, 0.5, -3];

/** Each makes a new f32 tensor from `x`, or from another of the pool. */
const moves: readonly ((x: Tensor, pick: Pick, pool: readonly Tensor[], t: Tracer) => Tensor)[] = [
  (x) => x.neg(),
  (x) => x.neg().neg(),
  (x) => tame(x).exp(),
  (x) => x.abs().add(0.1).log(),
  (x) => x.abs().sqrt(),
  (x) => tame(x).sin(),
  (x) => tame(x).cos(),
  (x) => x.erf(),
  (x) => x.sigmoid(),
  (x) => x.sign(),
  (x) => x.abs().neg().abs(),
  (x, pick) => x.add(choose(pick, interesting)),
  (x, pick) => x.mul(choose(pick, interesting)),
  (x, pick) => x.sub(choose(pick, interesting)),
  (x, pick) => x.div(choose(pick, [1, -1, 2, 0.3])),
  (x, pick) => tame(x).pow(choose(pick, [0, 1, 2, 3])),
  (x, pick) => x.sigmoid().pow(tame(choose(pick, [x, x.neg()]))),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.add(b)),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.sub(b.neg())),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.neg().add(b)),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => tame(a).mul(tame(b))),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.neg().mul(tame(b).neg())),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.div(b.abs().add(1))),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.maximum(b)),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.minimum(b)),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.less(b).where(a, b)),
  (x, pick, pool) => binary(x, pick, pool, (a, b) => a.sign().equal(b.sign()).where(a, 1)),
  (x) => x.less(0).cast('i32').cast('f32').add(x),
  (x) => x.mul(3).cast('i32').maximum(1).cast('f32'),
  (x, pick) => x.sum(pick(x.rank), { keepDims: true }).broadcastTo(x.shape),
  (x, pick) => x.max(pick(x.rank), { keepDims: true }).add(x),
  (x) => x.mean(undefined, { keepDims: true }).broadcastTo(x.shape).sum(-1, { keepDims: true }),
  (x, pick) => x.broadcastTo([1 + pick(2), ...x.shape]).mean(0),
  (x, pick) => x.permute(shuffled(pick, x.rank)),
  (x, pick) => x.permute(shuffled(pick, x.rank)).permute(shuffled(pick, x.rank)),
  (x, pick) => {
    const d = choose(pick, factors(x.size));
    return x.reshape([d, -1]);
  },
  (x) => x.reshape([-1]).reshape([1, -1, 1]),
  (x, pick) => x.unsqueeze(pick(x.rank + 1)),
  (x, pick) => {
    const padded = x.pad([[pick(2), pick(3)]]);
    return padded.slice(-1, pick(2)).pad([[0, pick(2)]]);
  },
  (x, pick) => {
    const axis = pick(x.rank);
    const from = pick(x.shape[axis]!);
    return x.slice(axis, from).slice(axis, 0, 1);
  },
  (x, pick) => {
    const axis = pick(x.rank);
    const joined = concat([x, x.neg(), x], axis);
    return choose(pick, joined.chunk(3, axis));
  },
  (x, pick) => concat([x, x.add(1)], pick(x.rank)),
  (x) => {
    const m = x.reshape([-1, x.shape.at(-1)!]);
    return m.transpose().matmul(tame(m));
  },
  (x) => {
    const m = tame(x.reshape([-1, x.shape.at(-1)!]));
    return m.matmul(m, { transposeB: true });
  },
  (x, pick) => {
    const image = x.reshape([1, 1, choose(pick, factors(x.size)), -1]);
    const kernel = tame(image.slice(2, 0, 1).slice(3, 0, 1).add(0.5)).broadcastTo([2, 1, 1, 1]);
    const attrs = { stride: [1, 2], padding: [1, 0, 0, 1] } as const;
    const y = apply('conv2d', [image, kernel], attrs);
    const size = [image.shape[2]!, image.shape[3]!] as const;
    return choose(pick, [
      () => y,
      () => apply('conv2dGradInput', [y, kernel], { ...attrs, size }),
      () => apply('conv2dGradWeight', [image, y], { ...attrs, kernel: [1, 1] }),
    ])();
  },
  (x, pick, _, t) => {
    const rows = x.shape[0]!;
    const at = t.constant([pick(rows), pick(rows), pick(rows)], [3], 'i32');
    return x.gather(at).neg();
  },
  (x, pick, _, t) => {
    const at = t.constant(
      Array.from({ length: x.shape[0]! }, () => pick(4)),
      [x.shape[0]!],
      'i32',
    );
    return apply('scatterAdd', [x, at], { rows: 4 });
  },
  (x) => x.stopGradient(),
  (x, pick, pool) => apply('barrier', [x, choose(pick, pool)], {}),
  (x) => silu(x),
  (x) => softmax(x, -1),
  (x) => {
    const c = x.shape.at(-1)!;
    const ones = x.reshape([-1]).slice(0, 0, 1).broadcastTo([c]);
    return layerNorm(x, ones, ones, 0.1);
  },
  (x, _, __, t) => t.recompute(() => x.sigmoid().mul(x).sigmoid().mul(x)),
  (x, pick, _, t) => {
    const n = x.shape.at(-1)!;
    return x.add(t.constant(Array.from({ length: n }, () => choose(pick, interesting))));
  },
];

function binary(
  x: Tensor,
  pick: Pick,
  pool: readonly Tensor[],
  f: (a: Tensor, b: Tensor) => Tensor,
): Tensor {
  const partners = pool.filter((y) => y.shape.join() === x.shape.join());
  const row = x
    .reshape([-1, x.shape.at(-1)!])
    .slice(0, 0, 1)
    .reshape([-1]);
  return f(x, choose(pick, [...partners, row]));
}

function shuffled(pick: Pick, rank: number): number[] {
  const left = Array.from({ length: rank }, (_, i) => i);
  return Array.from({ length: rank }, () => left.splice(pick(left.length), 1)[0]!);
}

export interface RandomGraph {
  readonly graph: Graph;
  readonly inputs: ReadonlyMap<string, Data>;
}

/** A graph of some dozens of moves with a few results, a state and its update, and a gradient. */
export function randomGraph(seed: number): RandomGraph {
  let drawn = 0;
  const pick: Pick = (below) => draws(seed).integers('pick', drawn++, [], below).data[0]!;
  const graph = trace((t) => {
    const a = t.input('a', [2, 3]);
    const s = t.state('s', [2, 3]);
    const pool = [a, s, t.constant(0.5).broadcastTo([2, 3]), t.input('b', [3, 1, 2])];
    for (let i = 0; i < 30; i++) {
      const next = t.at(`layer.${i}`, () => choose(pick, moves)(choose(pick, pool), pick, pool, t));
      // Nothing grows without bound.
      if (next.size <= 64 && next.rank <= 4 && next.rank > 0) pool.push(next);
    }
    const results = [0, 1, 2].map(() => choose(pick, pool));
    const loss = results.map((x) => tame(x).sum()).reduce((x, y) => x.add(y));
    const [slope] = grad(loss, [a]);
    return {
      outputs: { x: results[0]!, y: results[1]!, z: results[2]!, loss, slope: slope! },
      updates: { s: s.sub(slope!.mul(0.1)) },
    };
  });
  const random = draws(seed);
  const inputs = new Map(
    [['a', [2, 3]] as const, ['s', [2, 3]] as const, ['b', [3, 1, 2]] as const].map(
      ([name, shape]) => [name, Float64Array.from(random.normal(name, 0, shape).data) as Data],
    ),
  );
  return { graph, inputs };
}
