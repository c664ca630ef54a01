import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Plan, Storage } from '../../src/backends/webgpu/kernel.ts';
import {
  conv2dShape,
  planConv2d,
  planConv2dGradInput,
  planConv2dGradWeight,
  type Shape4,
} from '../../src/backends/webgpu/kernels/convolution.ts';
import type { Form } from '../../src/backends/webgpu/kernels/forms.ts';
import { closeDevice, type Device, openDevice, runPlan, type Values } from './device.ts';
import { expectClose, numbers } from './numbers.ts';
import { large, lavapipe, smallest } from './targets.ts';

interface Case {
  readonly x: Shape4;
  readonly w: Shape4;
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
}
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Calls `term` with the places in x, w and y of every product that a convolution sums. */
function eachTerm(c: Case, term: (x: number, w: number, y: number) => void): void {
  const [, channels, height, width] = c.x;
  const [, , kh, kw] = c.w;
  const out = conv2dShape(c);
  for (let n = 0; n < out[0]; n++)
    for (let o = 0; o < out[1]; o++)
      for (let oy = 0; oy < out[2]; oy++)
        for (let ox = 0; ox < out[3]; ox++)
          for (let ch = 0; ch < channels; ch++)
            for (let i = 0; i < kh; i++)
              for (let j = 0; j < kw; j++) {
                const y = oy * c.stride[0] + i - c.padding[0];
                const x = ox * c.stride[1] + j - c.padding[1];
                if (y < 0 || x < 0 || y >= height || x >= width) continue;
                term(
                  ((n * channels + ch) * height + y) * width + x,
                  ((o * channels + ch) * kh + i) * kw + j,
                  ((n * out[1] + o) * out[2] + oy) * out[3] + ox,
                );
              }
}

const cases: [string, Case][] = [
  ['3x3', { x: [2, 5, 6, 7], w: [9, 5, 3, 3], stride: [1, 1], padding: [1, 1, 1, 1] }],
  [
    '3x3 with steps of 2',
    { x: [2, 4, 7, 8], w: [6, 4, 3, 3], stride: [2, 2], padding: [0, 0, 1, 1] },
  ],
  ['1x1', { x: [2, 6, 8, 8], w: [7, 6, 1, 1], stride: [1, 1], padding: [0, 0, 0, 0] }],
  ['2x5, uneven', { x: [1, 3, 9, 11], w: [4, 3, 2, 5], stride: [3, 2], padding: [1, 2, 0, 3] }],
];
const forms: [string, Form | undefined][] = [
  ['that the planner picks', undefined],
  ['plain', { kind: 'naive' }],
];
const tiled: Form = {
  kind: 'tiled',
  tile: { m: 8, n: 8, k: 4, rows: 4, columns: 4, ahead: false },
  parts: 2,
};

describe('convolutions', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => closeDevice(device));

  const one = async (plan: Plan, inputs: Values[], storage: Storage, count: number) =>
    (await runPlan(device, plan, inputs, [{ storage, size: count }]))[0]!;

  async function check(c: Case, form: Form | undefined, storage: Storage = 'f32') {
    const { x, w, stride, padding } = c;
    const y = conv2dShape(c);
    const [xs, ws, dys] = [x, w, y].map((s, i) => numbers(size(s), i + 1, storage)) as [
      Values,
      Values,
      Values,
    ];
    const wanted = [y, x, w].map((s) => new Float64Array(size(s))) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    eachTerm(c, (i, j, o) => {
      wanted[0][o]! += xs.data[i]! * ws.data[j]!;
      wanted[1][i]! += dys.data[o]! * ws.data[j]!;
      wanted[2][j]! += dys.data[o]! * xs.data[i]!;
    });
    const kept = { x: storage, w: storage, dy: storage, out: storage };
    const { target } = device;
    const window = { stride, padding, storage: kept };
    const forward = planConv2d({ x, w, ...window }, target, form);
    expectClose(await one(forward, [xs, ws], storage, size(y)), wanted[0], storage);
    const image = [x[2], x[3]] as const;
    const back = planConv2dGradInput({ dy: y, w, size: image, ...window }, target, form);
    expectClose(await one(back, [dys, ws], storage, size(x)), wanted[1], storage);
    const kernel = [w[2], w[3]] as const;
    const weight = planConv2dGradWeight({ x, dy: y, kernel, ...window }, target, form);
    expectClose(await one(weight, [xs, dys], storage, size(w)), wanted[2], storage);
  }

  it.each(cases.flatMap(([name, c]) => forms.map(([f, form]) => [name, f, c, form] as const)))(
    '%s and its gradients, form %s',
    async (_, __, c, form) => {
      await check(c, form);
    },
  );
  it('in tiles', async () => {
    await check(cases[1]![1], tiled);
  });
  it('f16 kept, f32 summed', async ({ skip }) => {
    skip(!device.target.f16, 'the device has no f16');
    await check(cases[0]![1], { kind: 'naive' }, 'f16');
  });
});

describe('the planner of convolutions', () => {
  const sd = (channels: number, side: number, n: number, stride = 1) => ({
    x: [n, channels, side, side] as const,
    w: [channels, channels, 3, 3] as const,
    stride: [stride, stride] as const,
    padding: [1, 1, 1, 1] as const,
    storage: { x: 'f32', w: 'f32', dy: 'f32', out: 'f32' } as const,
  });
  it('divides the sums of a gradient of few weights over many pixels', () => {
    const dy = [8, 320, 64, 64] as const;
    const plan = planConv2dGradWeight({ ...sd(4, 64, 8), dy, kernel: [3, 3] }, large);
    expect(plan.steps.length).toBe(2);
    expect(plan.scratch.length).toBe(1);
  });
  it('makes a window of one pixel a product of matrices', () => {
    const conv = {
      ...sd(320, 64, 2),
      w: [320, 320, 1, 1] as const,
      padding: [0, 0, 0, 0] as const,
    };
    expect(planConv2d(conv, large).steps[0]!.kernel.name).toMatch(/^matmul/);
  });
  it('keeps within the limits of every device', () => {
    for (const target of [smallest, large, lavapipe])
      for (const conv of [sd(320, 64, 8), sd(1280, 8, 1), sd(128, 512, 4), sd(640, 32, 2, 2)]) {
        const dy = conv2dShape(conv);
        const plans = [
          planConv2d(conv, target),
          planConv2dGradInput({ ...conv, dy, size: [conv.x[2], conv.x[3]] }, target),
          planConv2dGradWeight({ ...conv, dy, kernel: [3, 3] }, target),
        ];
        for (const { kernel } of plans.flatMap((p) => p.steps))
          expect(Math.max(...kernel.workgroups)).toBeLessThanOrEqual(target.workgroups);
        for (const bytes of plans.flatMap((p) => p.scratch))
          expect(bytes).toBeLessThanOrEqual(target.bindingBytes);
      }
  });
});
