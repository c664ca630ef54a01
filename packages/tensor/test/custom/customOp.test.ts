/** @file Custom operations are held against the same functions made of primitives, on every backend. */
import { describe, expect, it } from 'vitest';
import {
  draws,
  grad,
  hostArray,
  type HostArray,
  nullBackend,
  planStep,
  reference,
  type Shape,
  silu,
  type Tensor,
  trace,
  type Tracer,
} from '../../src/index.ts';
import { split } from '../../src/custom/split.ts';
import { backends, expectClose } from '../support/backends.ts';
import { doubled, plainProduct, product, swish } from './operations.ts';

const shapes: Readonly<Record<string, Shape>> = {
  x: [2, 3, 4, 5],
  a: [6, 5],
  b: [7, 5],
  s: [],
};
const numbers = (shape: Shape, name: string): HostArray => draws(3).normal(name, 0, shape);
const inputs = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => [name, numbers(shape, name)]),
);
interface Operations {
  readonly swish: (x: Tensor) => Tensor;
  readonly product: (a: Tensor, b: Tensor) => Tensor;
  readonly doubled: (x: Tensor) => Tensor;
}
const custom: Operations = { swish, product, doubled };
const plain: Operations = { swish: silu, product: plainProduct, doubled: (x) => x.mul(2) };

/** One operation after the other, some read twice, between what is computed with primitives; results and gradients. */
const network = (
  { swish: s, product: p, doubled: d }: Operations,
  region: (t: Tracer, body: () => Tensor) => Tensor = (_, body) => body(),
) =>
  trace((t) => {
    const [x, a, b, scalar] = Object.entries(shapes).map(([name, shape]) =>
      t.input(name, shape),
    ) as [Tensor, Tensor, Tensor, Tensor];
    const weight = t.weight('w', [5, 5]);
    const h = region(t, () => s(x.matmul(weight).add(scalar)));
    const rows = s(h.mul(2)).reshape([24, 5]).slice(0, 0, 6).add(a);
    const m = region(t, () => p(rows.mul(scalar), b).tanh());
    const flat = d(m.reshape([42]));
    const loss = flat.square().mean().add(d(scalar)).add(h.mean());
    const slopes = grad(loss, [x, a, b, scalar]);
    return {
      outputs: {
        loss,
        flat,
        h,
        ...Object.fromEntries(slopes.map((g, i) => [`slope ${i}`, g])),
      },
    };
  });
const weights = new Map([
  [
    'w',
    {
      dtype: 'f32' as const,
      shape: [5, 5],
      read: () => new Uint8Array((numbers([5, 5], 'w').data as Float32Array).buffer),
    },
  ],
]);

describe.each(backends)('custom operations on $backend.name', (tested) => {
  const { backend } = tested;
  const run = async (graph: ReturnType<typeof trace>) => {
    const executable = await backend.compile(graph, { weights });
    try {
      // Twice: what is left from a run must not show in the next.
      await executable.run(inputs);
      return await executable.run(inputs);
    } finally {
      await executable.dispose();
    }
  };
  const close = (got: Record<string, HostArray>, wanted: Record<string, HostArray>) => {
    for (const [name, value] of Object.entries(wanted))
      expectClose(got[name]!, value, tested, name, 64);
  };

  it('give what the same functions in primitives give, forward and back', async () => {
    const wanted = await reference.compile(network(plain), { weights });
    close(await run(network(custom)), await wanted.run(inputs));
  });
  it('give it in regions that are computed again, too', async () => {
    const wanted = await reference.compile(network(plain), { weights });
    close(await run(network(custom, (t, body) => t.recompute(body))), await wanted.run(inputs));
  });
  it('train the same values, step by step, and hold them where they are written', async () => {
    const training = ({ product: p }: Operations) =>
      trace((t) => {
        const a = t.state('a', [6, 5]);
        const count = t.state('count', []);
        const y = p(a, t.input('b', [7, 5]));
        const loss = y.sub(1).square().mean();
        const [slope] = grad(loss, [a]);
        const rate = t.constant(0.5).div(count.add(1).sqrt());
        return {
          outputs: { loss, count },
          updates: { a: a.sub(slope!.mul(rate)), count: count.add(1) },
        };
      });
    const first = { a: numbers([6, 5], 'first') };
    const follow = async (graph: ReturnType<typeof trace>, on = backend) => {
      const executable = await on.compile(graph, { state: first });
      const losses: number[] = [];
      const step = async () =>
        losses.push((await executable.run({ b: inputs['b']! })).loss!.data[0]!);
      for (let i = 0; i < 4; i++) await step();
      const middle = await executable.read('a');
      await step();
      await executable.write('a', middle);
      await step();
      const { count } = await executable.run({ b: inputs['b']! });
      const a = await executable.view('a');
      const copy = hostArray(a.data.slice(), a.shape) as HostArray;
      await executable.dispose();
      return { losses, count: count!.data[0], a: copy };
    };
    const got = await follow(training(custom));
    const wanted = await follow(training(plain), reference);
    expect(got.count).toBe(6);
    expectClose(got.a, wanted.a, tested, 'a', 64);
    expectClose(
      hostArray(Float32Array.from(got.losses), [6]) as HostArray,
      { shape: [6], data: wanted.losses },
      tested,
      'losses',
      64,
    );
  });
  it('say that they were disposed of', async () => {
    const executable = await backend.compile(
      trace((t) => ({ outputs: { y: doubled(t.input('s', [])) } })),
    );
    await executable.dispose();
    await expect(executable.run({ s: inputs['s']! })).rejects.toThrow('disposed');
  });
});

describe('a graph with custom operations', () => {
  it('is cut only where their results are read, and keeps its updates for the end', () => {
    const segments = split(network(custom));
    // swish, swish, product, doubled; and back: the slope of the second, of the first.
    expect(
      segments.map(({ custom: calls }) => calls.map(({ node }) => node.attrs.definition.name)),
    ).toEqual(expect.arrayContaining([['swish', 'doubled'], ['swish'], ['product'], ['doubled']]));
    const graph = trace((t) => {
      const s = t.state('s', [2]);
      return { outputs: { y: doubled(s.add(1)) }, updates: { s: s.mul(2) } };
    });
    const parts = split(graph);
    expect(parts.map(({ graph: { updates } }) => Object.keys(updates))).toEqual([[], ['s']]);
  });
  it('is planned for a card, without gpu.js', () => {
    const { kernels, memory, dispatches } = planStep(network(custom));
    const made = kernels.filter(({ kind }) => kind.startsWith('custom'));
    expect(made.length).toBeGreaterThan(0);
    expect(made.every(({ flops, bytes }) => flops > 0 && bytes > 0)).toBe(true);
    expect(dispatches).toBeGreaterThan(planStep(network(plain)).dispatches);
    expect(memory.activations).toBeGreaterThan(0);
  });
  it('is planned by null', async () => {
    const { memory } = await nullBackend.compile(network(custom), { weights });
    expect(memory.activations).toBeGreaterThan(0);
  });
});
