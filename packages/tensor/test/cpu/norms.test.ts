import { describe, expect, it } from 'vitest';
import {
  draws,
  grad,
  groupNorm,
  layerNorm,
  reference,
  type Tensor,
  trace,
} from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, f32 } from './support/compute.ts';

// Of a large mean, f32 keeps few digits of what differs from it: the more so if a variance is made as E[x^2] - E[x]^2.
describe.for([
  // `pytorch`: the largest error of torch.nn.functional.group_norm (2.15, f32, CPU) against float64 on these very numbers, seeds 0 to 2.
  { mean: 0, length: 40960, pytorch: 4.8e-7 },
  { mean: 1, length: 40960, pytorch: 4.8e-7 },
  { mean: 10, length: 40960, pytorch: 9.5e-7 },
  { mean: 100, length: 40960, pytorch: 8.6e-6 },
  { mean: 100, length: 320, pytorch: 8.8e-6 },
  { mean: 1000, length: 40960, pytorch: 6.3e-5 },
])('rows of $length with mean $mean and deviation 1', ({ mean, length, pytorch }) => {
  const [groups, channels] = [2, 4];
  const pixels = (length * groups) / channels;
  const graph = trace((t) => {
    const x = t.input('x', [1, channels, pixels]);
    const dy = t.input('dy', [1, channels, pixels]);
    const normed = (g: Tensor): Tensor => g.mul(dy).sum();
    const image = groupNorm(
      x,
      t.constant(new Array(channels).fill(1)),
      t.constant(new Array(channels).fill(0)),
      { groups, eps: 1e-5 },
    );
    const rows = x.reshape([groups, length]);
    const row = layerNorm(
      rows,
      t.constant(1).broadcastTo([length]),
      t.constant(0).broadcastTo([length]),
    ).reshape(x.shape);
    return {
      outputs: {
        image,
        row,
        'slope of the image': grad(normed(image), [x])[0]!,
        'slope of the row': grad(normed(row), [x])[0]!,
      },
    };
  });
  const shape = [1, channels, pixels];
  // One thread and several have operators of their own.
  const backends = [1, 2].map((threads) => cpu({ threads }));
  const results = [0, 1, 2].map(async (seed) => {
    const normal = (name: string) => draws(seed).normal(name, 0, shape).data;
    const x = f32(
      Array.from(normal('x'), (value) => value + mean),
      shape,
    );
    const given = { inputs: { x, dy: f32([...normal('dy')], shape) } };
    const want = await compute(reference, graph, given);
    const got = await Promise.all(backends.map((backend) => compute(backend, graph, given)));
    return got.map((one) => [one, want] as const);
  });

  it.for(Object.keys(graph.outputs))('are normalised as well as by PyTorch: %s', async (name) => {
    for (const [got, want] of (await Promise.all(results)).flat()) {
      const errors = Array.from(want[name]!.data, (w, i) => Math.abs(w - got[name]!.data[i]!));
      // Values and slopes reach 4.5, of which 5 roundings are allowed in any case.
      const allowed = Math.max(pytorch, 2.5e-6);
      expect(errors.reduce((most, e) => Math.max(most, e), 0)).toBeLessThan(allowed);
    }
  });
});
