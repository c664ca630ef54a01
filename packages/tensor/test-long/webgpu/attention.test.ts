import { afterAll, beforeAll, describe, it } from 'vitest';
import { planAttention, planAttentionGrad } from '../../src/backends/webgpu/kernels/attention.ts';
import { closeDevice, type Device, openDevice, runPlan } from '../../test/webgpu/device.ts';
import { emulated } from '../../test/webgpu/emulation.ts';
import { expectClose, numbers } from '../../test/webgpu/numbers.ts';
import { attention } from '../../test/webgpu/references.ts';
import { large } from '../../test/webgpu/targets.ts';

/** Drivers compile the emulation of these kernels for minutes. */
describe('attention by subgroup matrices, emulated', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => closeDevice(device));
  const [half, full] = ['f16', 'f32'] as const;
  const halves = { q: half, k: half, v: half, dout: half };
  const storage = { ...halves, out: full, dq: full, dk: full, dv: full };

  it('gives its result and gradients, causal, of widths that are padded', async () => {
    const target = { ...large, workgroupStorage: device.target.workgroupStorage };
    const sizes = { queries: 69, keys: 69, dim: 8, valueDim: 24 };
    const shape = { batch: 1, heads: 2, scale: 0.5, causal: true, ...sizes };
    const { queries, keys, dim, valueDim } = shape;
    const [q, k, v, dout] = [queries * dim, keys * dim, keys * valueDim, queries * valueDim].map(
      (n, i) => numbers(2 * n, i + 1, 'f16'),
    );
    const wanted = attention(shape, [q!.data, k!.data, v!.data, dout!.data]);
    const result = (data: Float64Array) => ({ storage: full, size: data.length });
    const forward = emulated(planAttention({ ...shape, storage }, target, 'matrix'));
    const [out] = await runPlan(device, forward, [q!, k!, v!], [result(wanted.out)]);
    // Probabilities and their gradients are rounded to f16 on their way to sums.
    expectClose(out!, wanted.out, 'f16');
    const back = emulated(planAttentionGrad({ ...shape, storage }, target, 'matrix'));
    const [dq, dk, dv] = await runPlan(
      device,
      back,
      [q!, k!, v!, { storage: full, data: wanted.out }, dout!],
      [result(wanted.dq), result(wanted.dk), result(wanted.dv)],
    );
    expectClose(dv!, wanted.dv, 'f16');
    expectClose(dq!, wanted.dq, 'f16');
    expectClose(dk!, wanted.dk, 'f16');
  });

  it('gives its result, not causal, of fewer keys than queries', async () => {
    const target = { ...large, workgroupStorage: device.target.workgroupStorage };
    const sizes = { queries: 69, keys: 40, dim: 8, valueDim: 16 };
    const shape = { batch: 1, heads: 2, scale: 0.5, causal: false, ...sizes };
    const { queries, keys, dim, valueDim } = shape;
    const [q, k, v] = [queries * dim, keys * dim, keys * valueDim].map((n, i) =>
      numbers(2 * n, i + 1, 'f16'),
    );
    const none = new Float64Array(2 * queries * valueDim);
    const wanted = attention(shape, [q!.data, k!.data, v!.data, none]).out;
    const plan = emulated(planAttention({ ...shape, storage }, target, 'matrix'));
    const result = { storage: full, size: wanted.length };
    const [out] = await runPlan(device, plan, [q!, k!, v!], [result]);
    expectClose(out!, wanted, 'f16');
  });
});
