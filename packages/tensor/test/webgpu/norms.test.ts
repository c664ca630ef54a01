import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Target } from '../../src/backends/webgpu/kernel.ts';
import {
  planGroupNorm,
  planGroupNormGrad,
  planLayerNorm,
  planLayerNormGrad,
} from '../../src/backends/webgpu/kernels/norms.ts';
import { planSoftmax, planSoftmaxGrad } from '../../src/backends/webgpu/kernels/softmax.ts';
import { closeDevice, type Device, onF16, openDevice, runPlan, type Values } from './device.ts';
import { expectClose, numbers } from './numbers.ts';
import { large } from './targets.ts';

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const eps = 1e-5;

/** Normalises rows of `length`; `parameter` is the number in gamma and beta of an element. */
function norm(
  [x, gamma, beta, dy]: readonly [Values, Values, Values, Values],
  length: number,
  parameter: (i: number) => number,
) {
  const rows = x.data.length / length;
  const [y, dx] = [new Float64Array(x.data.length), new Float64Array(x.data.length)];
  const [means, inverses] = [new Float64Array(rows), new Float64Array(rows)];
  for (let r = 0; r < rows; r++) {
    const at = Array.from({ length }, (_, i) => r * length + i);
    const average = (f: (i: number) => number) => at.reduce((s, i) => s + f(i), 0) / length;
    const mean = average((i) => x.data[i]!);
    const inverse = 1 / Math.sqrt(average((i) => (x.data[i]! - mean) ** 2) + eps);
    const h = (i: number) => (x.data[i]! - mean) * inverse;
    const g = (i: number) => dy.data[i]! * gamma.data[parameter(i)]!;
    const [gMean, ghMean] = [average(g), average((i) => g(i) * h(i))];
    for (const i of at) {
      y[i] = h(i) * gamma.data[parameter(i)]! + beta.data[parameter(i)]!;
      dx[i] = inverse * (g(i) - gMean - h(i) * ghMean);
    }
    [means[r], inverses[r]] = [mean, inverse];
  }
  return { y, dx, means, inverses };
}

describe('norms and softmax', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => closeDevice(device));

  async function check(
    shape: readonly number[],
    groups: number | undefined,
    target: Target,
    storage: 'f32' | 'f16' = 'f32',
    on = device,
  ) {
    const channels = groups === undefined ? shape.at(-1)! : shape[1]!;
    const length = groups === undefined ? channels : size(shape.slice(1)) / groups;
    const inner = size(shape.slice(2));
    // Far from zero, where squares minus squared means would lose all digits.
    const x = numbers(size(shape), 1);
    x.data.forEach((v, i) => (x.data[i] = Math.fround(v + 50)));
    const near = storage === 'f16' ? numbers(size(shape), 1, 'f16') : x;
    const [gamma, beta] = [numbers(channels, 2), numbers(channels, 3)];
    const dy = numbers(size(shape), 4, storage);
    const wanted = norm([near, gamma, beta, dy], length, (i) =>
      groups === undefined ? i % channels : Math.floor(i / inner) % channels,
    );
    const kept = { x: storage, gamma: 'f32', beta: 'f32', dy: storage, out: storage } as const;
    const rows = size(shape) / length;
    const norms =
      groups === undefined
        ? planLayerNorm({ shape, eps, storage: kept }, target)
        : planGroupNorm({ shape, groups, eps, storage: kept }, target);
    const [y, means, inverses] = await runPlan(
      on,
      norms,
      [near, gamma, beta],
      [
        { storage, size: size(shape) },
        { storage: 'f32', size: rows },
        { storage: 'f32', size: rows },
      ],
    );
    // A float32 at 50 is 4e-6 wide: that is what a deviation from the mean is off by.
    expectClose(means!, wanted.means);
    const far = storage === 'f16' ? 6e-4 : 2e-5;
    const off = (a: Float64Array, b: Float64Array) =>
      Math.max(...a.map((v, i) => Math.abs(v - b[i]!)));
    expect(off(inverses!, wanted.inverses)).toBeLessThan(far);
    expect(off(y!, wanted.y)).toBeLessThan(2 * far);
    const gradients =
      groups === undefined
        ? planLayerNormGrad({ shape, storage: kept }, target)
        : planGroupNormGrad({ shape, groups, storage: kept }, target);
    const f32 = (data: Float64Array): Values => ({ storage: 'f32', data });
    const [dx] = await runPlan(
      on,
      gradients,
      [dy, near, gamma, f32(wanted.means), f32(wanted.inverses)],
      [{ storage, size: size(shape) }],
    );
    expect(off(dx!, wanted.dx)).toBeLessThan(4 * far);
    return norms;
  }

  it('layer norm and its gradient', async () => {
    await check([2, 5, 77], undefined, device.target);
    await check([3, 132], undefined, { ...large, subgroups: undefined });
  });
  it('group norm and its gradient', async () => {
    await check([2, 6, 5, 3], 3, device.target);
    await check([2, 6, 4, 3], 3, device.target);
  });
  it('long groups, in parts', async () => {
    const target = { ...large, workgroupSize: 64 };
    for (const [height, width] of [
      [101, 103],
      [60, 102],
    ]) {
      const plan = await check([1, 2, height!, width!], 1, target);
      expect(plan.steps.length).toBe(2);
    }
  });
  it('f16 kept, f32 summed', async ({ skip }) => {
    await onF16(skip, async (device) => {
      await check([2, 6, 5, 3], 3, device.target, 'f16', device);
    });
  });

  it.each([
    ['the last axis', [3, 41], 1, undefined],
    ['a middle axis', [3, 17, 5], 1, undefined],
    ['the last axis, by a tree', [3, 41], 1, large],
  ] as const)('softmax and its gradient along %s', async (_, shape, axis, target) => {
    const storage = { x: 'f32', dy: 'f32', y: 'f32', out: 'f32' } as const;
    const inner = size(shape.slice(axis + 1));
    const length = shape[axis]!;
    const [x, dy] = [numbers(size(shape), 1), numbers(size(shape), 2)];
    // Masked, and large.
    x.data[0] = Math.fround(-1e30);
    x.data[inner] = 90;
    const [y, dx] = [new Float64Array(x.data.length), new Float64Array(x.data.length)];
    for (let i = 0; i < x.data.length; i++) {
      if (Math.floor(i / inner) % length !== 0) continue;
      const at = Array.from({ length }, (_, j) => i + j * inner);
      const top = Math.max(...at.map((j) => x.data[j]!));
      const sum = at.reduce((s, j) => s + Math.exp(x.data[j]! - top), 0);
      for (const j of at) y[j] = Math.exp(x.data[j]! - top) / sum;
      const dot = at.reduce((s, j) => s + y[j]! * dy.data[j]!, 0);
      for (const j of at) dx[j] = (dy.data[j]! - dot) * y[j]!;
    }
    const out = [{ storage: 'f32', size: size(shape) }] as const;
    const on = target ?? device.target;
    const [ours] = await runPlan(device, planSoftmax({ shape, axis, storage }, on), [x], out);
    expectClose(ours!, y);
    const kept = { storage: 'f32', data: y } as const;
    const back = planSoftmaxGrad({ shape, axis, storage }, on);
    const [gradient] = await runPlan(device, back, [dy, kept], out);
    // The values of y are rounded to float32 on the way in.
    expectClose(gradient!, dx);
  });
});
