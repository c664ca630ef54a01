import { describe, expect, it } from 'vitest';
import { geglu, grad, reference, trace, type Tensor, type Tracer } from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear } from './support/compute.ts';
import { modelOf, operators } from './support/lowered.ts';

type Parameter = (name: string, shape: readonly number[]) => Tensor;
interface Options {
  readonly parameter?: Parameter;
  /** Read the sum before the gate once more. */
  readonly again?: boolean;
}

/** A feed-forward block and its gradients. */
function made(t: Tracer, { parameter = (...call) => t.weight(...call), again = false }: Options) {
  const x = t.input('x', [2, 5, 4]);
  const weight = parameter('weight', [12, 4]);
  const bias = parameter('bias', [12]);
  const sum = x.matmul(weight, { transposeB: true }).add(bias);
  const y = geglu(sum);
  const loss = y.mul(t.input('dy', y.shape)).sum();
  const trained = weight.builder.node(weight.id).op === 'weight' ? [] : [weight, bias];
  const gradients = grad(again ? loss.add(sum.square().sum()) : loss, [x, ...trained]);
  return { y, ...Object.fromEntries(gradients.map((one, i) => [`gradient ${i}`, one])) };
}
const graphs = {
  frozen: trace((t) => ({ outputs: made(t, {}) })),
  'frozen, the sum read once more': trace((t) => ({ outputs: made(t, { again: true }) })),
  trained: trace((t) => ({
    outputs: made(t, { parameter: (name, shape) => t.input(name, [...shape]) }),
  })),
};

describe.for(Object.entries(graphs))('a gated unit, weights %s', ([name, graph]) => {
  it('is what it is in the reference', async () => {
    const given = drawn(graph);
    expectNear(
      await compute(cpu({ threads: 1 }), graph, given),
      await compute(reference, graph, given),
      10,
    );
  });

  it('is split only where its halves are not computed apart', () => {
    const { Split = 0, Concat = 0 } = operators(modelOf(graph));
    expect({ Split, Concat }).toEqual(
      name === 'frozen' ? { Split: 0, Concat: 0 } : { Split: 2, Concat: 1 },
    );
  });
});
