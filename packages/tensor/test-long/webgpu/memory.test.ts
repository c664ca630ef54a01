/** @file Runs without end leave nothing behind. */
import { expect, test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { grad, hostArray, type HostArray, trace } from '../../src/index.ts';
import { testedWebgpu } from '../../test/support/webgpu.ts';

const residentMegabytes = (): number => process.memoryUsage().rss / 1e6;
const SIZE = 64;
const x = hostArray(new Float32Array(SIZE * SIZE).fill(0.5), [SIZE, SIZE]) as HostArray;
/** A small training step: a product, its gradient, an update with momentum. */
const step = trace((t) => {
  const w = t.state('w', [SIZE, SIZE]);
  const m = t.state('m', [SIZE, SIZE]);
  const count = t.state('count', []);
  const loss = t.input('x', [SIZE, SIZE]).matmul(w).sub(1).square().mean();
  const [slope] = grad(loss, [w]);
  const momentum = m.mul(0.9).add(slope!);
  return {
    outputs: { loss, count },
    updates: { w: w.sub(momentum.mul(0.1)), m: momentum, count: count.add(1) },
  };
});

test('a run stays in its memory', async ({ task }) => {
  const steps = repetitions(10_000, 200);
  const executable = await testedWebgpu().compile(step);
  const sizes: number[] = [];
  let last = Number.POSITIVE_INFINITY;
  const start = performance.now();
  for (let i = 1; i <= steps; i++) {
    const { loss, count } = await executable.run({ x });
    expect(count!.data[0]).toBe(i - 1);
    last = loss!.data[0]!;
    if (i % (steps / 20) === 0) sizes.push(residentMegabytes());
  }
  const seconds = (performance.now() - start) / 1000;
  await executable.dispose();
  expect(last).toBeLessThan(0.01);
  // The first tenth warms allocators up.
  const growth = sizes.at(-1)! - sizes[1]!;
  expect(growth).toBeLessThan(60);
  found(
    task,
    0,
    `${steps} steps, ${(steps / seconds).toFixed(0)} a second; grew by ${growth.toFixed(0)} MB after the first tenth`,
  );
});
