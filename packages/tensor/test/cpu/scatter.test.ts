import { expect, test } from 'vitest';
import { apply, draws, hostArray, reference, trace } from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, expectNear } from './support/compute.ts';

/** A few rows that occur over and over, wide enough for several threads. */
const [count, width, rows] = [616, 768, 3];
const graph = trace((t) => {
  const updates = t.input('updates', [count, width]);
  const at = t.input('at', [count], 'i32');
  return { outputs: { sums: apply('scatterAdd', [updates, at], { rows }) } };
});
const inputs = {
  updates: draws(1).normal('updates', 0, [count, width]),
  at: hostArray(
    Int32Array.from({ length: count }, (_, i) => (i * i) % rows),
    [count],
  ),
};

test('rows that occur often get every update, the same at each run', async () => {
  const wanted = await compute(reference, graph, { inputs });
  const executable = await cpu({ threads: 2 }).compile(graph);
  const first = await executable.run(inputs);
  expectNear(first, wanted);
  const sums = Float32Array.from(first['sums']!.data);
  for (let i = 0; i < 50; i++) {
    const again = await executable.run(inputs);
    expect(Float32Array.from(again['sums']!.data), `run ${i}`).toEqual(sums);
  }
  await executable.dispose();
});
