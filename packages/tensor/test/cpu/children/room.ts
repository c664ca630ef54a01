/** @file Plans and takes steps of two large layers: weights, gradients and their copies are almost all that there is. Prints the plan, and the bytes that the steps took. */
import { grad, hostArray, type HostArray, trace, type Tensor } from '../../../src/index.ts';
import { cpu } from '../../../src/node/index.ts';

const side = 4096;
const filled = (shape: readonly number[], value: number): HostArray =>
  hostArray(new Float32Array(shape.reduce((n, d) => n * d, 1)).fill(value), shape) as HostArray;

const graph = trace((t) => {
  const weights = ['a', 'b'].map((name) => t.state(name, [side, side]));
  const first: Tensor = t.input('x', [4, side]);
  const loss = weights
    .reduce((x, w) => x.matmul(w).tanh(), first)
    .square()
    .mean();
  const rate = t.input('rate', []);
  const [a, b] = grad(loss, weights).map((gradient, i) => weights[i]!.sub(gradient.mul(rate)));
  return { outputs: { loss }, updates: { a: a!, b: b! } };
});
const backend = cpu({ threads: 1 });
const planned = backend.plan!(graph);
const executable = await backend.compile(graph);
globalThis.gc!();
const before = process.memoryUsage().rss;
for (const state of ['a', 'b']) {
  await executable.write(state, filled([side, side], 1e-3));
  globalThis.gc!();
}
for (let i = 0; i < 3; i++)
  await executable.run({ x: filled([4, side], 0.01), rate: filled([], 0.1) });
const measured = 1024 * process.resourceUsage().maxRSS - before;
console.log(JSON.stringify({ planned, measured, known: executable.memory }));
await executable.dispose();
