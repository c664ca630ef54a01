import { describe, expect, it } from 'vitest';
import type { ConvAttributes } from '../../src/graph/types.ts';
import { apply, reference, type Tensor, trace, type Tracer } from '../../src/index.ts';
import { convLowering, gradInputLowering } from '../../src/node/cpu/convolution.ts';
import { gradWeightLowering } from '../../src/node/cpu/gradWeight.ts';
import type { Size4 } from '../../src/node/cpu/lowering.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear, type Results } from './support/compute.ts';

interface Case extends ConvAttributes {
  readonly name: string;
  /** x [N,C,H,W] and w [O,C,kh,kw] */
  readonly x: Size4;
  readonly w: Size4;
}
const plain = { stride: [1, 1], padding: [0, 0, 0, 0] } as const;
const same = (k: number) => {
  const p = (k - 1) / 2;
  return { stride: [1, 1], padding: [p, p, p, p] } as const;
};

const cases: readonly Case[] = [
  { name: '3x3, batch', x: [3, 4, 5, 5], w: [6, 4, 3, 3], ...same(3) },
  { name: '3x3, batch of 8 at 8x8', x: [8, 3, 8, 8], w: [2, 3, 3, 3], ...same(3) },
  { name: '3x3, large pictures', x: [2, 3, 9, 8], w: [4, 3, 3, 3], ...same(3) },
  { name: '3x3, batch 1', x: [1, 4, 5, 5], w: [6, 4, 3, 3], ...same(3) },
  { name: '5x5', x: [2, 2, 6, 6], w: [3, 2, 5, 5], ...same(5) },
  { name: '2x2, no padding', x: [2, 3, 4, 4], w: [5, 3, 2, 2], ...plain },
  { name: '3x3, picture smaller than the kernel', x: [2, 3, 1, 2], w: [4, 3, 3, 3], ...same(3) },
  { name: 'not square', x: [2, 3, 4, 7], w: [5, 3, 3, 3], ...same(3) },
  {
    name: 'kernel not square',
    x: [2, 3, 5, 6],
    w: [4, 3, 1, 3],
    stride: [1, 1],
    padding: [0, 1, 0, 1],
  },
  {
    name: 'asymmetric padding',
    x: [2, 3, 5, 4],
    w: [4, 3, 3, 3],
    stride: [1, 1],
    padding: [0, 2, 1, 1],
  },
  {
    name: 'padding wider than the kernel',
    x: [2, 3, 3, 3],
    w: [4, 3, 2, 2],
    stride: [1, 1],
    padding: [3, 0, 2, 2],
  },
  {
    name: 'stride 2',
    x: [2, 3, 8, 8],
    w: [4, 3, 3, 3],
    stride: [2, 2],
    padding: [1, 1, 1, 1],
  },
  {
    name: 'stride 2, very small',
    x: [2, 3, 4, 3],
    w: [5, 3, 3, 3],
    stride: [2, 2],
    padding: [1, 1, 1, 1],
  },
  {
    name: 'stride 2, rows left over',
    x: [2, 3, 7, 8],
    w: [4, 3, 2, 3],
    stride: [2, 2],
    padding: [0, 0, 0, 0],
  },
  {
    name: 'stride 2, padded at the end only, as a VAE does',
    x: [2, 3, 6, 6],
    w: [4, 3, 3, 3],
    stride: [2, 2],
    padding: [0, 0, 1, 1],
  },
  {
    name: 'strides that differ',
    x: [2, 3, 7, 9],
    w: [4, 3, 3, 2],
    stride: [3, 1],
    padding: [1, 0, 0, 1],
  },
  { name: '1x1', x: [3, 4, 5, 5], w: [6, 4, 1, 1], ...plain },
  { name: '1x1, batch 1', x: [1, 4, 5, 5], w: [6, 4, 1, 1], ...plain },
  {
    name: '1x1, stride 2',
    x: [2, 4, 5, 6],
    w: [6, 4, 1, 1],
    stride: [2, 2],
    padding: [0, 0, 0, 0],
  },
  {
    name: '1x1, padded',
    x: [2, 4, 3, 3],
    w: [6, 4, 1, 1],
    stride: [1, 1],
    padding: [1, 0, 0, 1],
  },
  { name: 'many channels, few pixels', x: [2, 9, 2, 3], w: [2, 9, 3, 3], ...same(3) },
  {
    name: 'many channels, few pixels, stride 2',
    x: [1, 9, 5, 4],
    w: [2, 9, 3, 2],
    stride: [2, 1],
    padding: [1, 0, 1, 1],
  },
  { name: 'one channel to one', x: [2, 1, 4, 4], w: [1, 1, 3, 3], ...same(3) },
];

/** All cases in one graph: results and both gradients, with and without a bias. */
const graphOf = (kernel: (t: Tracer, name: string, shape: Size4) => Tensor) =>
  trace((t) => {
    const outputs: Record<string, Tensor> = {};
    for (const { name, x: xShape, w: wShape, stride, padding } of cases) {
      const x = t.input(`${name}: x`, xShape);
      const w = kernel(t, `${name}: w`, wShape);
      const y = apply('conv2d', [x, w], { stride, padding });
      const dy = t.input(`${name}: dy`, y.shape);
      const bias = t.input(`${name}: bias`, [wShape[0]]).reshape([1, -1, 1, 1]);
      outputs[`${name}/forward`] = y;
      // A convolution of its own, so that the bias can go inside.
      outputs[`${name}/with bias`] = apply('conv2d', [x.mul(2), w], { stride, padding }).add(bias);
      outputs[`${name}/gradient of x`] = apply('conv2dGradInput', [dy, w], {
        stride,
        padding,
        size: [xShape[2], xShape[3]],
      });
      outputs[`${name}/gradient of w`] = apply('conv2dGradWeight', [x, dy], {
        stride,
        padding,
        kernel: [wShape[2], wShape[3]],
      });
    }
    return { outputs };
  });

const graphs = {
  frozen: graphOf((t, name, shape) => t.weight(name, shape)),
  given: graphOf((t, name, shape) => t.input(name, shape)),
};

describe.for([
  { kernels: 'frozen' as const, packBytes: undefined },
  { kernels: 'frozen' as const, packBytes: 0 },
  // Room for some of the copies.
  { kernels: 'frozen' as const, packBytes: 2000 },
  { kernels: 'given' as const, packBytes: undefined },
  // Kernels in reverse in place of what ONNX Runtime would keep.
  { kernels: 'frozen' as const, packBytes: undefined, prepacking: false },
])('convolutions, kernels $kernels, packBytes $packBytes', (c) => {
  const { kernels, packBytes, prepacking = true } = c;
  const graph = graphs[kernels];
  const backend = cpu({
    threads: 1,
    session: { prepacking },
    ...(packBytes === undefined ? {} : { packBytes }),
  });
  let both: Promise<[Results, Results]> | undefined;
  const results = () =>
    (both ??= Promise.all([
      compute(backend, graph, drawn(graph)),
      compute(reference, graph, drawn(graph)),
    ]));

  it.for(Object.keys(graph.outputs))('%s', async (output) => {
    const [got, want] = await results();
    expectNear({ [output]: got[output]! }, { [output]: want[output]! }, 20);
  });
});

describe('the choice by shape', () => {
  const lowerings = ({ x, w, stride, padding }: Case) => {
    const [n, , h, wide] = x;
    const [o, , kh, kw] = w;
    const [top, left, bottom, right] = padding;
    const out = (size: number, k: number, s: number, pads: number) =>
      Math.floor((size + pads - k) / s) + 1;
    const output: Size4 = [
      n,
      o,
      out(h, kh, stride[0], top + bottom),
      out(wide, kw, stride[1], left + right),
    ];
    return {
      forward: convLowering(output, w, { stride, padding }),
      gradient: gradInputLowering(output, w, { stride, padding, size: [h, wide] }),
      kernel: gradWeightLowering(output, w, { stride, padding }),
    };
  };
  const chosen = Object.fromEntries(cases.map((c) => [c.name, lowerings(c)]));

  it('puts what taps saw side by side where channels are many and pixels few', () => {
    const named = (lowering: string) =>
      Object.keys(chosen).filter((name) => chosen[name]!.kernel === lowering);
    expect(named('columns')).toEqual([
      '3x3, picture smaller than the kernel',
      'many channels, few pixels',
      'many channels, few pixels, stride 2',
    ]);
    expect(named('pointwise')).toEqual(['1x1', '1x1, batch 1']);
    // Stable Diffusion 1.5 at 256 px, batch 1.
    const square = (channels: number, side: number) =>
      gradWeightLowering([1, channels, side, side], [channels, channels, 3, 3], same(3));
    expect([square(320, 32), square(640, 16), square(1280, 8)]).toEqual([
      'taps',
      'columns',
      'columns',
    ]);
  });

  it('gathers small pictures of a batch, and only those', () => {
    const gathered = Object.entries(chosen).filter(([, c]) => c.forward === 'gathered');
    expect(gathered.map(([name]) => name)).toEqual([
      '3x3, batch',
      '3x3, batch of 8 at 8x8',
      '5x5',
      '2x2, no padding',
      '3x3, picture smaller than the kernel',
      'not square',
      'kernel not square',
      'asymmetric padding',
      'padding wider than the kernel',
      'stride 2',
      'stride 2, very small',
      'stride 2, rows left over',
      'stride 2, padded at the end only, as a VAE does',
      'strides that differ',
      '1x1, stride 2',
      '1x1, padded',
      'many channels, few pixels',
      'one channel to one',
    ]);
    // Of a gradient with strides, most taps would be zeros.
    for (const [name, { forward, gradient }] of Object.entries(chosen))
      expect(gradient === 'gathered', name).toBe(
        forward === 'gathered' && (!name.includes('stride') || name === 'stride 2, very small'),
      );
  });

  it('multiplies by 1x1 kernels', () => {
    const pointwise = Object.entries(chosen).filter(([, c]) => c.gradient === 'pointwise');
    expect(pointwise.map(([name]) => name)).toEqual(['1x1', '1x1, batch 1']);
  });

  it('draws the line at 64 pixels', () => {
    const at = (h: number, w: number) => convLowering([2, 8, h, w], [8, 8, 3, 3], same(3));
    expect([at(8, 8), at(4, 16), at(1, 64), at(8, 9), at(65, 1)]).toEqual([
      'gathered',
      'gathered',
      'gathered',
      'conv',
      'conv',
    ]);
  });
});
