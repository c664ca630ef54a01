import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  conv2dShape,
  planConv2d,
  planConv2dGradWeight,
} from '../../src/backends/webgpu/kernels/convolution.ts';
import { type Form, formOf, matrixTiles } from '../../src/backends/webgpu/kernels/forms.ts';
import {
  type Matmul,
  matmulProduct,
  planMatmul,
} from '../../src/backends/webgpu/kernels/matmul.ts';
import { closeDevice, type Device, openDevice, openWith, runPlan } from './device.ts';
import { emulated } from './emulation.ts';
import { expectClose, numbers } from './numbers.ts';
import { convolution, product } from './references.ts';
import { large } from './targets.ts';

const f16 = (row: number, column: number, offset = 0) => ({
  storage: 'f16' as const,
  offset,
  strides: [row, column],
});
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const form: Form = {
  kind: 'matrix',
  tile: { m: 64, n: 16, k: 16, down: 2, across: 1, ahead: true },
  parts: 1,
};
const parted: Form = {
  kind: 'matrix',
  tile: { m: 16, n: 64, k: 32, down: 1, across: 2, ahead: false },
  parts: 2,
};

describe('products by subgroup matrices, emulated', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => closeDevice(device));

  it.each<[string, [number, number, number], Form, boolean, number]>([
    ['rows and columns that no tile divides, read one by one', [67, 35, 21], form, false, 3],
    ['both transposed, in parts, in groups of eight', [40, 72, 48], parted, true, 0],
    ['neither transposed, in groups of four', [36, 68, 20], form, false, 0],
  ])('%s', async (_, [m, n, k], form, transposed, offset) => {
    const a = transposed ? f16(1, m) : f16(k, 1, offset);
    const b = transposed ? f16(1, k) : f16(n, 1);
    const matmul: Matmul = { batch: [], m, n, k, a, b, out: 'f32' };
    const [x, y] = [numbers(offset + m * k, 1, 'f16'), numbers(k * n, 2, 'f16')];
    const plan = emulated(planMatmul(matmul, large, form));
    const [out] = await runPlan(device, plan, [x, y], [{ storage: 'f32', size: m * n }]);
    expectClose(out!, product(matmul, x.data, y.data));
  });
  it('convolutions', async () => {
    const conv = {
      x: [2, 5, 6, 8] as const,
      w: [9, 5, 3, 3] as const,
      stride: [1, 1] as const,
      padding: [1, 1, 1, 1] as const,
      storage: { x: 'f16', w: 'f16', dy: 'f16', out: 'f32' } as const,
    };
    const dyShape = conv2dShape(conv);
    const [x, w, dy] = [conv.x, conv.w, dyShape].map((s, i) => numbers(size(s), i, 'f16'));
    const wanted = convolution(conv, { x: x!.data, w: w!.data, dy: dy!.data });
    const forward = emulated(planConv2d(conv, large, form));
    const [y] = await runPlan(device, forward, [x!, w!], [{ storage: 'f32', size: size(dyShape) }]);
    expectClose(y!, wanted.y);
    const gradient = emulated(
      planConv2dGradWeight({ ...conv, dy: dyShape, kernel: [3, 3] }, large, form),
    );
    const out = [{ storage: 'f32', size: size(conv.w) }] as const;
    const [dw] = await runPlan(device, gradient, [x!, dy!], out);
    expectClose(dw!, wanted.dw);
  });
});

describe('products by subgroup matrices', () => {
  it('are for f16 alone, on devices that have them', () => {
    const n = 4096;
    const kind = (a: 'f16' | 'f32', b: 'f16' | 'f32', target = large) => {
      return formOf(
        matmulProduct({
          batch: [],
          m: n,
          n,
          k: n,
          a: { ...f16(n, 1), storage: a },
          b: { ...f16(n, 1), storage: b },
          out: 'f16',
        }),
        target,
      ).kind;
    };
    expect(kind('f16', 'f16')).toBe('matrix');
    expect(kind('f16', 'f32')).toBe('tiled');
    expect(kind('f16', 'f16', { ...large, subgroupMatrix: undefined })).toBe('tiled');
    expect(kind('f16', 'f16', { ...large, subgroups: { min: 64, max: 64 } })).toBe('tiled');
  });
  it('are valid WGSL in every tile', async () => {
    const device = await openWith(['backend=null']);
    const [m, n, k] = [129, 65, 33];
    for (const [tile] of matrixTiles)
      for (const [a, b] of [
        [f16(k, 1), f16(n, 1)],
        [f16(1, m), f16(1, k)],
        [f16(1, 136), f16(64, 1)],
      ] as const) {
        device.gpu.pushErrorScope('validation');
        const matmul: Matmul = { batch: [], m, n, k, a, b, out: 'f16' };
        const plan = planMatmul(matmul, large, { kind: 'matrix', tile, parts: 1 });
        device.gpu.createShaderModule({ code: plan.steps[0]!.kernel.code });
        expect((await device.gpu.popErrorScope())?.message).toBeUndefined();
      }
    await closeDevice(device);
  });
});
