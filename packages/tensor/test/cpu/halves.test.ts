import { describe, expect, it } from 'vitest';
import { geglu, grad, reference, trace, type Tensor, type Tracer } from '../../src/index.ts';
import { rowTiles } from '../../src/node/cpu/halves.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear } from './support/compute.ts';
import { modelOf, operators } from './support/lowered.ts';

interface Options {
  /** Weights are given, and trained. */
  readonly given?: boolean;
  /** Read the sum before the gate once more. */
  readonly again?: boolean;
  /** A product with the unit's result. */
  readonly out?: 'biased' | 'plain';
}

/** A feed-forward block on [2, 128, 4] and its gradients. */
function block(t: Tracer, { given = false, again = false, out }: Options) {
  const parameter = (name: string, shape: readonly number[]): Tensor =>
    given ? t.input(name, [...shape]) : t.weight(name, [...shape]);
  const x = t.input('x', [2, 128, 4]);
  const weight = parameter('weight', [12, 4]);
  const bias = parameter('bias', [12]);
  const sum = x.matmul(weight, { transposeB: true }).add(bias);
  const unit = geglu(sum);
  const product = unit.matmul(parameter('second', [3, 6]), { transposeB: true });
  const results = {
    none: unit,
    plain: product,
    biased: out === 'biased' ? product.add(parameter('second bias', [3])) : product,
  };
  const y = results[out ?? 'none'];
  const loss = y.mul(t.input('dy', y.shape)).sum();
  const gradients = grad(again ? loss.add(sum.square().sum()) : loss, [
    x,
    ...(given ? [weight, bias] : []),
  ]);
  return { y, ...Object.fromEntries(gradients.map((one, i) => [`gradient ${i}`, one])) };
}

const apart = { Split: 0, Concat: 0 };
// The forward pass, the gradient, and the cotangents of both halves as one.
const asOne = { Split: 2, Concat: 1 };
// Rows and cotangents are divided, results and gradients put together.
const byRows = { Split: 2, Concat: 2 };
const cases: Record<string, { options: Options; counts: object; tiled?: object }> = {
  'a unit': { options: {}, counts: apart },
  'a unit and a product': { options: { out: 'plain' }, counts: apart, tiled: byRows },
  'a unit and a sum': { options: { out: 'biased' }, counts: apart, tiled: byRows },
  'a sum read once more': { options: { again: true, out: 'biased' }, counts: asOne },
  'trained weights': { options: { given: true, out: 'biased' }, counts: asOne },
};

describe.for(Object.entries(cases))('%s', ([, { options, counts, tiled = counts }]) => {
  const graph = trace((t) => ({ outputs: block(t, options) }));

  // All rows at a time, or half of them.
  it.for([
    { tileBytes: 2 ** 19, expected: counts },
    { tileBytes: 6144, expected: tiled },
  ])('with $tileBytes bytes at a time', async ({ tileBytes, expected }) => {
    const given = drawn(graph);
    expectNear(
      await compute(cpu({ threads: 1, tileBytes }), graph, given),
      await compute(reference, graph, given),
      10,
    );
    const { Split = 0, Concat = 0 } = operators(modelOf(graph, { tileBytes }, { threads: 1 }));
    expect({ Split, Concat }).toEqual(expected);
  });
});

it.for([
  { bytes: Number.POSITIVE_INFINITY, tiles: 1 },
  { bytes: 14400, tiles: 1 },
  { bytes: 14399, tiles: 2 },
  { bytes: 4800, tiles: 3 },
  // Not many fewer than 128 rows, and equal parts.
  { bytes: 4799, tiles: 4 },
  { bytes: 0, tiles: 5 },
])('600 rows of two halves of 6, $bytes bytes at a time: $tiles', ({ bytes, tiles }) => {
  expect(rowTiles(bytes, [600, 12])).toBe(tiles);
});

it('an awkward number of rows stays whole', () => {
  expect(rowTiles(0, [3 * 1009, 12])).toBe(1);
});
