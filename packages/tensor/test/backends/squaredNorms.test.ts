import { describe, expect, it } from 'vitest';
import { hostArray, squaredNorms, trace } from '../../src/index.ts';
import { backends, expectClose } from '../support/backends.ts';

/** More tensors than a kernel has bindings, of one element up to several workgroups' work. */
const shapes = Array.from({ length: 20 }, (_, i) =>
  i === 7 ? [3, 8192] : i === 8 ? [1] : [i + 1, 13],
);

describe.each(backends)('squaredNorms on $backend.name', (tested) => {
  it('is the sum of squares of each tensor, computed ones among them', async () => {
    const graph = trace((t) => ({
      outputs: {
        norms: squaredNorms(
          shapes.map((shape, i) => {
            const x = t.input(`x${i}`, shape);
            return i % 3 === 1 ? x.mul(2).add(1) : x;
          }),
        ),
      },
    }));
    const values = shapes.map((shape, i) =>
      Float32Array.from({ length: shape[0]! * (shape[1] ?? 1) }, (_, j) => Math.sin(i + j)),
    );
    const executable = await tested.backend.compile(graph);
    const inputs = Object.fromEntries(
      values.map((data, i) => [`x${i}`, hostArray(data, shapes[i]!)]),
    );
    const { norms } = await executable.run(inputs);
    const data = values.map((numbers, i) =>
      numbers.reduce((sum, x) => sum + (i % 3 === 1 ? 2 * x + 1 : x) ** 2, 0),
    );
    expectClose(norms!, { shape: [shapes.length], data }, tested, 'norms', 4);
    await executable.dispose();
  });
});

it('wants a tensor', () => {
  expect(() => squaredNorms([])).toThrow('squaredNorms: there are no tensors');
});
