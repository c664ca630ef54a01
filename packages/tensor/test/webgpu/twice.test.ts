/** @file One tensor in several places of an operation, and states that are read and written by one dispatch. */
import { expect, it } from 'vitest';
import {
  attention,
  draws,
  type HostArray,
  layerNorm,
  reference,
  type Shape,
  type Tensor,
  trace,
} from '../../src/index.ts';
import { apply } from '../../src/trace/tensor.ts';
import { backends, expectClose } from '../support/backends.ts';
import { testedWebgpu } from '../support/webgpu.ts';

const tested = backends.find(({ backend }) => backend.name === 'webgpu')!;
const numbers = (name: string, shape: Shape): HostArray => draws(7).normal(name, 0, shape);
const x = numbers('x', [2, 64, 64]);
const image = numbers('image', [3, 3, 8, 8]);

it('operations whose operands are one tensor give what the reference gives', async () => {
  const graph = trace((t) => {
    // Stored, not computed where it is read.
    const m = t.input('x', x.shape).mul(0.25);
    const i = t.input('image', image.shape).mul(0.5);
    const attrs = { stride: [1, 1], padding: [7, 7, 0, 0] } as const;
    const row = m.slice(0, 0, 1).slice(1, 0, 1).reshape([64]);
    const products: Record<string, Tensor> = {
      square: m.matmul(m),
      gram: m.matmul(m, { transposeB: true }),
      // The addend of the epilogue is an operand, too.
      residual: m.matmul(m, { transposeA: true }).add(m),
      convolution: apply('conv2d', [i, i], attrs),
      kernel: apply('conv2dGradWeight', [i, i], { ...attrs, kernel: [8, 8] }),
      self: attention(m, m, m, { heads: 4 }),
      norm: layerNorm(m, row, row),
      sum: m.add(m).mul(m).sum([1]),
    };
    return { outputs: products };
  });
  const [wanted, got] = await Promise.all(
    [reference, testedWebgpu()].map(async (backend) => {
      const executable = await backend.compile(graph);
      const results = await executable.run({ x, image });
      await executable.dispose();
      return results;
    }),
  );
  for (const [name, value] of Object.entries(wanted!))
    expectClose(got![name]!, value, tested, name, 16);
});

it('states that one dispatch reads and writes move on as the reference says', async () => {
  const graph = trace((t) => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => t.state(name, [32, 32])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    return {
      outputs: { before: a, product: a.matmul(b).mean() },
      updates: {
        // A product of the state with itself; each other's old values; every element at another place.
        a: a.matmul(a).mul(0.1).sub(a),
        b: c.add(b.mul(b)),
        c: b.transpose().sub(c),
      },
    };
  });
  const state = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, numbers(name, [32, 32])]));
  const follow = async (backend: typeof reference) => {
    const executable = await backend.compile(graph, { state });
    await executable.run();
    const results = await executable.run();
    const states = await Promise.all(['a', 'b', 'c'].map((name) => executable.read(name)));
    await executable.dispose();
    return [...Object.values(results), ...states];
  };
  const wanted = await follow(reference);
  const got = await follow(testedWebgpu());
  expect(got.length).toBe(5);
  // Squares of a sum of 32 terms: what is rounded once counts again and again.
  wanted.forEach((value, i) => expectClose(got[i]!, value, tested, `result ${i}`, 16));
});
