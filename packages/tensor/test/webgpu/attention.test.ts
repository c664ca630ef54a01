import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Storage, Target } from '../../src/backends/webgpu/kernel.ts';
import {
  type AttentionForm,
  type AttentionShape,
  planAttention,
  planAttentionGrad,
} from '../../src/backends/webgpu/kernels/attention.ts';
import { closeDevice, type Device, onF16, openDevice, openWith, runPlan } from './device.ts';
import { expectClose, numbers } from './numbers.ts';
import { attention } from './references.ts';
import { large, lavapipe, smallest } from './targets.ts';

const forms: AttentionForm[] = ['serial', 'tiled'];

describe('attention', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => closeDevice(device));

  async function check(
    shape: AttentionShape,
    form: AttentionForm | undefined,
    target: Target,
    storage: Storage = 'f32',
    on = device,
  ) {
    const { batch, heads, queries, keys, dim, valueDim } = shape;
    const sizes = {
      q: batch * queries * heads * dim,
      k: batch * keys * heads * dim,
      v: batch * keys * heads * valueDim,
      out: batch * queries * heads * valueDim,
    };
    const [q, k, v, dout] = Object.values(sizes).map((n, i) => numbers(n, i + 1, storage));
    // Scores of some tens, so that the largest counts.
    q!.data.forEach((x, i) => (q!.data[i] = x * 8));
    const wanted = attention(shape, [q!.data, k!.data, v!.data, dout!.data]);
    const kept = {
      q: storage,
      k: storage,
      v: storage,
      out: storage,
      dout: storage,
      dq: storage,
      dk: storage,
      dv: storage,
    };
    const result = (size: number) => ({ storage, size });
    const forward = planAttention({ ...shape, storage: kept }, target, form);
    const [out] = await runPlan(on, forward, [q!, k!, v!], [result(sizes.out)]);
    expectClose(out!, wanted.out, storage);
    // Gradients read and write as results do, and take lavapipe long to compile.
    if (storage === 'f16') return;
    const back = planAttentionGrad({ ...shape, storage: kept }, target, form);
    const [dq, dk, dv] = await runPlan(
      on,
      back,
      [q!, k!, v!, { storage, data: wanted.out }, dout!],
      [result(sizes.q), result(sizes.k), result(sizes.v)],
    );
    expectClose(dv!, wanted.dv, storage);
    expectClose(dq!, wanted.dq, storage);
    expectClose(dk!, wanted.dk, storage);
  }

  const odd = { batch: 2, heads: 2, queries: 37, keys: 21, dim: 5, valueDim: 7, scale: 0.4 };
  it.each(forms)('more queries than keys, form %s', async (form) => {
    await check({ ...odd, causal: false }, form, smallest);
  });
  it.each(forms)('causal, form %s', async (form) => {
    await check({ ...odd, keys: 37, causal: true }, form, smallest);
  });
  it('causal, fewer queries than keys, form products', async () => {
    await check({ ...odd, queries: 21, keys: 37, causal: true }, 'products', smallest);
  });
  it('f16 kept, f32 summed', async ({ skip }) => {
    await onF16(skip, (device) =>
      check({ ...odd, causal: false }, undefined, device.target, 'f16', device),
    );
  });
});

describe('attention by subgroup matrices (its results: the long tier)', () => {
  const half = 'f16' as const;

  it('is valid WGSL for every width of heads', async () => {
    const none = await openWith(['backend=null']);
    const all = {
      q: half,
      k: half,
      v: half,
      out: half,
      dout: half,
      dq: half,
      dk: half,
      dv: half,
    };
    for (const dim of [40, 64, 80, 160]) {
      const shape = { batch: 1, heads: 8, queries: 77, keys: 77, dim, valueDim: dim, scale: 1 };
      for (const causal of [false, true]) {
        const { steps } = planAttention({ ...shape, causal, storage: all }, large);
        const back = planAttentionGrad({ ...shape, causal, storage: all }, large);
        expect(steps[1]!.kernel.name).toMatch(/^attention forward matrix/);
        for (const { kernel } of [...steps, ...back.steps]) {
          none.gpu.pushErrorScope('validation');
          none.gpu.createShaderModule({ code: kernel.code });
          expect((await none.gpu.popErrorScope())?.message).toBeUndefined();
        }
      }
    }
    await closeDevice(none);
  });
});

describe('the planner of attention', () => {
  it('takes tiles on graphics processors, and keeps within the limits of every device', () => {
    for (const target of [smallest, large, lavapipe])
      for (const [queries, keys, dim] of [
        [4096, 4096, 40],
        [1024, 77, 80],
        [256, 256, 160],
        [4096, 4096, 512],
      ] as const) {
        const storage = { q: 'f32', k: 'f32', v: 'f32', out: 'f32' } as const;
        const shape = {
          batch: 8,
          heads: 8,
          queries,
          keys,
          dim,
          valueDim: dim,
          scale: 1,
          causal: false,
        };
        const { steps } = planAttention({ ...shape, storage }, target);
        const onProcessor = 4 * 64 * queries * keys > target.bindingBytes ? /serial$/ : /scores/;
        expect(steps[0]!.kernel.name).toMatch(
          target.kind === 'software' ? onProcessor : /^attention forward \d+x\d+$/,
        );
        const gradients = { dout: 'f32', dq: 'f32', dk: 'f32', dv: 'f32' } as const;
        const back = planAttentionGrad({ ...shape, storage: { ...storage, ...gradients } }, target);
        for (const { kernel } of [...steps, ...back.steps]) {
          expect(Math.max(...kernel.workgroups)).toBeLessThanOrEqual(target.workgroups);
          expect(kernel.operands.length).toBeLessThanOrEqual(target.bindings);
        }
      }
  });
});
