import ndarray from 'ndarray';
import { describe, expect, it } from 'vitest';
import { reference, type Tensor, trace, type Tracer } from '../../src/index.ts';
import { type CpuOptions, cpu } from '../../src/node/index.ts';
import { planUpdates } from '../../src/node/cpu/updates/plan.ts';
import type { Graph } from '../../src/graph/types.ts';
import { drawn, expectNear } from './support/compute.ts';
import { unetLike } from './support/unetLike.ts';

const eager: CpuOptions = { threads: 2, kernelElements: 1 };
const plain: CpuOptions = { threads: 1, kernelElements: Number.POSITIVE_INFINITY };

/** Three steps with kernels and without, beside the reference: results and states. */
async function compare(graph: Graph, ulps = 200): Promise<void> {
  const { inputs, ...options } = drawn(graph);
  const [slow, fast, usual] = await Promise.all([
    reference.compile(graph, options),
    cpu(eager).compile(graph, options),
    cpu(plain).compile(graph, options),
  ]);
  for (let step = 0; step < 3; step++) {
    const wanted = await slow.run(inputs);
    expectNear(await fast.run(inputs), wanted, ulps);
    await usual.run(inputs);
    for (const name of Object.keys(graph.updates)) {
      const state = await fast.read(name);
      expectNear({ [name]: state }, { [name]: await slow.read(name) }, ulps);
      // Float32 arithmetic, operation by operation, as ONNX Runtime has it.
      expectNear({ [name]: state }, { [name]: await usual.read(name) }, 8);
    }
  }
  await Promise.all([slow.dispose(), fast.dispose(), usual.dispose()]);
}

/** An Adam-like rule with a condition, a clipped gradient and numbers that are computed. */
function adam(
  t: Tracer,
  name: string,
  { p, gradient, lr, ends }: Readonly<Record<'p' | 'gradient' | 'lr' | 'ends', Tensor>>,
): Record<string, Tensor> {
  const [m, v] = ['m', 'v'].map((kind) => t.state(`${kind} ${name}`, p.shape));
  const g = gradient.mul(t.constant(3).div(gradient.square().sum().sqrt().maximum(3)));
  const nextM = m!.add(g.sub(m!).mul(0.1));
  const nextV = v!.abs().mul(0.9).add(g.mul(0.1).mul(g));
  const nextP = p.mul(lr.mul(-0.5).add(1)).sub(nextM.mul(lr).div(nextV.sqrt().add(1e-3)));
  return {
    [`p ${name}`]: ends.where(nextP, p),
    [`m ${name}`]: ends.where(nextM, m!),
    [`v ${name}`]: ends.where(nextV, v!),
  };
}
const steps = (ending: number) =>
  trace((t) => {
    const x = t.input('x', [7, 5]);
    const lr = t.input('lr', []).abs().mul(0.01);
    const ends = lr.mul(0).add(ending).greater(0.5);
    const [a, b] = [t.state('p a', [5, 3]), t.state('p b', [7, 5])];
    const slope = x.matmul(a).sin();
    const first = { p: a, gradient: x.matmul(slope, { transposeA: true }), lr, ends };
    const second = { p: b, gradient: x.exp().sigmoid().sub(x.tanh()), lr, ends };
    return {
      outputs: { slope },
      updates: { ...adam(t, 'a', first), ...adam(t, 'b', second) },
    };
  });

describe('updates by kernels', () => {
  it('are those of the graph: an optimizer', () => compare(steps(1)));
  it('are those of the graph: a step that is refused', () => compare(steps(0)));
  it('read old values of one another before anything is written', () =>
    compare(
      trace((t) => {
        const [a, b, c] = ['a', 'b', 'c'].map((name) => t.state(name, [11]));
        const x = t.input('x', [11]);
        return {
          outputs: { sum: a!.add(b!) },
          updates: { a: b!.mul(c!), b: a!.sub(x), c: a!.maximum(b!).neg() },
        };
      }),
    ));
  it('leave what a result shares, and what is no element-wise function of equal sizes', () =>
    compare(
      trace((t) => {
        const [a, b, c] = [t.state('a', [4]), t.state('b', [4]), t.state('c', [2, 2])];
        t.state('d', [4]);
        const shared = a.add(1).mul(b);
        return {
          outputs: { shared, product: shared.mul(2) },
          updates: { a: shared, b: c.reshape([4]).add(a.sum()), c: b.reshape([2, 2]), d: a },
        };
      }),
    ));
  it('need not be there: states of few elements', () => {
    const graph = steps(1);
    expect(planUpdates(graph, 1000).kernels).toEqual([]);
  });
  it('are worth it for many small states, too', () => {
    expect(planUpdates(steps(1), 1000, 7).kernels).toEqual([]);
    expect(planUpdates(steps(1), 1000, 6).kernels).toHaveLength(2);
  });
  it('work on memory that is given to a state later', async () => {
    const graph = trace((t) => {
      const [a, b] = [t.state('a', [3]), t.state('b', [3])];
      return { outputs: { first: a.mul(1) }, updates: { a: a.add(b.mul(t.input('x', []))) } };
    });
    const one = await cpu(eager).compile(graph, {
      state: { a: ndarray(Float32Array.of(1, 2, 3)), b: ndarray(Float32Array.of(1, 1, 1)) },
    });
    const x = (value: number) => ({ x: ndarray(Float32Array.of(value), []) });
    await one.run(x(1));
    await one.run(x(2));
    expect([...(await one.read('a')).data]).toEqual([4, 5, 6]);
    const data = new Float32Array(new SharedArrayBuffer(12)).fill(10);
    await one.borrow('b', ndarray(data));
    await one.run(x(1));
    expect([...(await one.read('a')).data]).toEqual([14, 15, 16]);
    await one.dispose();
  });
  it('share their source where they do the same', () => {
    const { kernels, residual } = planUpdates(steps(1), 1);
    expect(kernels.map(({ states }) => states.length)).toEqual([3, 3]);
    expect(Object.keys(residual.updates)).toEqual([]);
    expect(new Set(kernels.map(({ source }) => source)).size).toBe(1);
  });
  it.for([0, 1, 2, 3])('are those of networks made up at random, seed %i', (seed) =>
    compare(unetLike(seed), 30_000),
  );
});
