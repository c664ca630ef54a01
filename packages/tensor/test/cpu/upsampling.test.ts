import { expect, it } from 'vitest';
import { grad, reference, trace } from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear } from './support/compute.ts';
import { modelOf, operators } from './support/lowered.ts';

const enlarged = (from: readonly number[], to: readonly number[]) =>
  trace((t) => {
    const x = t.input('x', [...from]);
    const y = x.broadcastTo([...to]);
    const dy = t.input('dy', y.shape);
    return { outputs: { y: y.reshape([-1]), dx: grad(y.mul(dy).sum(), [x])[0]! } };
  });
const pixels = enlarged([2, 3, 4, 1, 5, 1], [2, 3, 4, 2, 5, 3]);
const others = enlarged([2, 3, 1, 4, 1, 5], [2, 3, 2, 4, 3, 5]);

it.for([pixels, others])('what is repeated is what the reference repeats', async (graph) => {
  const given = drawn(graph);
  expectNear(
    await compute(cpu({ threads: 1 }), graph, given),
    await compute(reference, graph, given),
    10,
  );
});

it('repeated pixels are an enlarged picture', () => {
  const { Resize, Expand } = operators(modelOf(pixels));
  expect([Resize, Expand]).toEqual([1, undefined]);
  expect(operators(modelOf(others)).Resize).toBeUndefined();
});
