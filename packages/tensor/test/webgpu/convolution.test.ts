import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Plan, Storage } from '../../src/backends/webgpu/kernel.ts';
import {
  conv2dShape,
  planConv2d,
  planConv2dGradInput,
  planConv2dGradWeight,
} from '../../src/backends/webgpu/kernels/convolution.ts';
import type { Form } from '../../src/backends/webgpu/kernels/forms.ts';
import { closeDevice, type Device, onF16, openDevice, runPlan, type Values } from './device.ts';
import { expectClose, numbers } from './numbers.ts';
import { type Convolution, convolution } from './references.ts';
import { large, lavapipe, smallest } from './targets.ts';

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

const cases: [string, Convolution][] = [
  ['3x3', { x: [2, 5, 6, 7], w: [9, 5, 3, 3], stride: [1, 1], padding: [1, 1, 1, 1] }],
  [
    '3x3 with steps of 2',
    { x: [2, 4, 7, 8], w: [6, 4, 3, 3], stride: [2, 2], padding: [0, 0, 1, 1] },
  ],
  [
    '3x3, lines of fours',
    { x: [2, 3, 5, 8], w: [6, 3, 3, 3], stride: [1, 1], padding: [1, 1, 1, 1] },
  ],
  [
    '1x4, lines of fours',
    { x: [1, 3, 2, 9], w: [6, 3, 1, 4], stride: [1, 1], padding: [0, 2, 0, 0] },
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

  const one = async (on: Device, plan: Plan, inputs: Values[], storage: Storage, count: number) =>
    (await runPlan(on, plan, inputs, [{ storage, size: count }]))[0]!;

  async function check(
    c: Convolution,
    form: Form | undefined,
    storage: Storage = 'f32',
    on = device,
  ) {
    const { x, w, stride, padding } = c;
    const y = conv2dShape(c);
    const [xs, ws, dys] = [x, w, y].map((s, i) => numbers(size(s), i + 1, storage)) as [
      Values,
      Values,
      Values,
    ];
    const wanted = convolution(c, { x: xs.data, w: ws.data, dy: dys.data });
    const kept = { x: storage, w: storage, dy: storage, out: storage };
    const { target } = on;
    const window = { stride, padding, storage: kept };
    const forward = planConv2d({ x, w, ...window }, target, form);
    expectClose(await one(on, forward, [xs, ws], storage, size(y)), wanted.y, storage);
    const image = [x[2], x[3]] as const;
    const back = planConv2dGradInput({ dy: y, w, size: image, ...window }, target, form);
    expectClose(await one(on, back, [dys, ws], storage, size(x)), wanted.dx, storage);
    const kernel = [w[2], w[3]] as const;
    const weight = planConv2dGradWeight({ x, dy: y, kernel, ...window }, target, form);
    expectClose(await one(on, weight, [xs, dys], storage, size(w)), wanted.dw, storage);
  }

  it.each(cases.flatMap(([name, c]) => forms.map(([f, form]) => [name, f, c, form] as const)))(
    '%s and its gradients, form %s',
    async (_, __, c, form) => {
      await check(c, form);
    },
  );
  it('in tiles', async () => {
    await check(cases[1]![1], tiled);
    await check(cases[3]![1], tiled);
  });
  it('f16 kept, f32 summed', async ({ skip }) => {
    await onF16(skip, (device) => check(cases[0]![1], { kind: 'naive' }, 'f16', device));
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
