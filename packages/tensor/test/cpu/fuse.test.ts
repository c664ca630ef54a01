import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/graph/types.ts';
import { apply, reference, type Tensor, trace, type Tracer } from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear } from './support/compute.ts';
import { modelOf, operators } from './support/lowered.ts';

const attrs = { stride: [1, 1], padding: [1, 1, 1, 1] } as const;
const conv = (t: Tracer, batch = 1): Tensor =>
  apply('conv2d', [t.input('x', [batch, 3, 9, 9]), t.weight('w', [4, 3, 3, 3])], attrs);
const linear = (t: Tracer): Tensor =>
  t.input('x', [2, 5, 3]).matmul(t.weight('w', [4, 3]), { transposeB: true });
const channels = (t: Tracer, name: string): Tensor => t.weight(name, [4]).reshape([1, 4, 1, 1]);
const graph = (body: (t: Tracer) => Record<string, Tensor>): Graph =>
  trace((t) => ({ outputs: body(t) }));

interface Case {
  readonly graph: Graph;
  /** Additions that stay additions; of everything else none is left. */
  readonly additions: number;
  readonly products: Readonly<Record<string, number>>;
}
const cases: Readonly<Record<string, Case>> = {
  'a bias of a convolution': {
    graph: graph((t) => ({ y: conv(t, 2).add(channels(t, 'b')) })),
    additions: 0,
    products: { Conv: 1 },
  },
  'a bias on the left': {
    graph: graph((t) => ({ y: channels(t, 'b').add(conv(t, 2)) })),
    additions: 0,
    products: { Conv: 1 },
  },
  'a bias and an embedding of the only picture: added to each other, four numbers': {
    graph: graph((t) => ({
      y: conv(t)
        .add(channels(t, 'b'))
        .add(t.input('e', [1, 4]).reshape([1, 4, 1, 1])),
    })),
    additions: 1,
    products: { Conv: 1 },
  },
  'an embedding that differs from picture to picture': {
    graph: graph((t) => ({
      y: conv(t, 2)
        .add(channels(t, 'b'))
        .add(t.input('e', [2, 4]).reshape([2, 4, 1, 1])),
    })),
    additions: 1,
    products: { Conv: 1 },
  },
  'an addend that differs from pixel to pixel': {
    graph: graph((t) => ({ y: conv(t).add(t.input('e', [1, 1, 9, 9])) })),
    additions: 1,
    products: { Conv: 1 },
  },
  'a residual': {
    graph: graph((t) => ({ y: conv(t).add(t.input('e', [1, 4, 9, 9])) })),
    additions: 1,
    products: { Conv: 1 },
  },
  'one number for all channels': {
    graph: graph((t) => ({ y: conv(t).add(t.input('e', [1, 1, 1, 1])) })),
    additions: 1,
    products: { Conv: 1 },
  },
  'a bias along the wrong axis, as long as the right one': {
    graph: graph((t) => {
      const x = t.input('x', [1, 3, 4, 4]);
      const y = apply('conv2d', [x, t.weight('w', [4, 3, 3, 3])], attrs);
      return { y: y.add(t.weight('b', [4])) };
    }),
    additions: 1,
    products: { Conv: 1 },
  },
  'a bias of gathered pictures': {
    graph: graph((t) => {
      const x = t.input('x', [2, 3, 4, 4]);
      const y = apply('conv2d', [x, t.weight('w', [4, 3, 3, 3])], attrs);
      return { y: y.add(channels(t, 'b')) };
    }),
    additions: 0,
    products: { Gemm: 1, Conv: 0 },
  },
  'a bias of a linear layer, beyond the reshape': {
    graph: graph((t) => ({ y: linear(t).add(t.weight('b', [4])) })),
    additions: 0,
    products: { Gemm: 1, MatMul: 0, FusedMatMul: 0 },
  },
  'two biases of a linear layer, with a reshape between them': {
    graph: graph((t) => ({
      y: linear(t)
        .add(t.weight('b', [4]))
        .reshape([5, 2, 4])
        .add(t.weight('c', [4])),
    })),
    additions: 1,
    products: { Gemm: 1 },
  },
  'a bias beyond a reshape that moves the channels': {
    graph: graph((t) => ({
      y: linear(t)
        .reshape([5, 4, 2])
        .add(t.weight('b', [2])),
    })),
    additions: 1,
    products: { Gemm: 0 },
  },
  'a bias beyond a reshape that splits the channels': {
    graph: graph((t) => ({
      y: linear(t)
        .reshape([2, 5, 2, 2])
        .add(t.weight('b', [2])),
    })),
    additions: 1,
    products: { Gemm: 0 },
  },
  'a bias of a product in several matrices': {
    graph: graph((t) => ({
      y: t
        .input('x', [2, 5, 3])
        .matmul(t.input('z', [2, 3, 4]))
        .add(t.weight('b', [4])),
    })),
    additions: 1,
    products: { Gemm: 0, MatMul: 1 },
  },
  'a product that somebody else reads too': {
    graph: graph((t) => {
      const product = linear(t);
      return { y: product.add(t.weight('b', [4])), z: product.exp() };
    }),
    additions: 1,
    products: { Gemm: 0, FusedMatMul: 1 },
  },
  'a product that is a result too': {
    graph: graph((t) => {
      const product = conv(t);
      return { y: product.add(channels(t, 'b')), z: product };
    }),
    additions: 1,
    products: { Conv: 1 },
  },
  'a product added to itself': {
    graph: graph((t) => {
      const product = conv(t);
      return { y: product.add(product).add(channels(t, 'b')) };
    }),
    additions: 2,
    products: { Conv: 1 },
  },
  'one product with two biases': {
    graph: graph((t) => {
      const product = conv(t);
      return { y: product.add(channels(t, 'b')), z: product.add(channels(t, 'c')) };
    }),
    additions: 2,
    products: { Conv: 1 },
  },
  'a sum in between that is a result too': {
    graph: graph((t) => {
      const sum = conv(t).add(channels(t, 'b'));
      return { y: sum.add(channels(t, 'c')), z: sum };
    }),
    additions: 1,
    products: { Conv: 1 },
  },
  'the bias of a transposed operand': {
    graph: graph((t) => ({
      y: t
        .input('x', [3, 5])
        .transpose()
        .matmul(t.weight('w', [4, 3]).transpose())
        .add(t.weight('b', [4])),
    })),
    additions: 0,
    products: { Gemm: 1 },
  },
  'a gradient of a bias': {
    graph: graph((t) => {
      const product = linear(t);
      return {
        y: product
          .add(t.weight('b', [4]))
          .square()
          .sum([0, 1]),
      };
    }),
    additions: 0,
    products: { Gemm: 1 },
  },
};
const backend = cpu({ threads: 1 });

describe.for(Object.entries(cases))('%s', ([, { graph: made, additions, products }]) => {
  it('is fused where it may be', () => {
    const counts = operators(modelOf(made));
    expect(counts.Add ?? 0).toBe(additions);
    for (const [op, count] of Object.entries(products)) expect(counts[op] ?? 0, op).toBe(count);
  });
  it('means the same', async () => {
    const given = drawn(made);
    expectNear(await compute(backend, made, given), await compute(reference, made, given), 20);
  });
});
