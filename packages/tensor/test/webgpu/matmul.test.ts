import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Epilogue, Storage } from '../../src/backends/webgpu/kernel.ts';
import { type Form, formOf, tiles } from '../../src/backends/webgpu/kernels/forms.ts';
import {
  type Matmul,
  matmulProduct,
  type MatrixView,
  planMatmul,
} from '../../src/backends/webgpu/kernels/matmul.ts';
import { closeDevice, type Device, onF16, openDevice, openWith, runPlan } from './device.ts';
import { expectClose, numbers } from './numbers.ts';
import { product } from './references.ts';
import { large, lavapipe, smallest } from './targets.ts';

/** Rows and columns as they lie: `transposed` has columns beside each other; `gap` elements between rows, `offset` before the first. */
function view(
  [batch, rows, columns]: readonly [readonly number[], number, number],
  { transposed = false, gap = 0, offset = 0, repeat = false, storage = 'f32' as Storage } = {},
): MatrixView & { size: number } {
  const [short, long] = transposed ? [rows, columns] : [columns, rows];
  const pitch = short + gap;
  const matrix = pitch * long;
  const strides = transposed ? [1, pitch] : [pitch, 1];
  const total = batch.reduce((a, b) => a * b, 1);
  let step = matrix * total;
  const batchStrides = batch.map((d) => (step /= d) && (repeat ? 0 : step));
  return {
    storage,
    offset,
    strides: [...batchStrides, ...strides],
    size: offset + (repeat ? matrix : matrix * total),
  };
}

/** Software devices compile large tiles for seconds: these take every path of them. */
const small: Form = {
  kind: 'tiled',
  tile: { m: 8, n: 16, k: 8, rows: 4, columns: 4, ahead: false },
  parts: 1,
};
const ahead: Form = {
  kind: 'tiled',
  tile: { m: 16, n: 8, k: 4, rows: 8, columns: 4, ahead: true },
  parts: 3,
};

describe('products of matrices', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => closeDevice(device));

  async function check(
    matmul: Matmul & { a: { size: number }; b: { size: number } },
    form?: Form,
    on = device,
  ) {
    const x = numbers(matmul.a.size, 1, matmul.a.storage);
    const y = numbers(matmul.b.size, 2, matmul.b.storage);
    const size = matmul.batch.reduce((p, q) => p * q, 1) * matmul.m * matmul.n;
    const plan = planMatmul(matmul, on.target, form);
    const [out] = await runPlan(on, plan, [x, y], [{ storage: matmul.out, size }]);
    expectClose(out!, product(matmul, x.data, y.data), matmul.out);
  }

  const plain = { batch: [], m: 45, n: 67, k: 37 };
  const forms: [string, Form | undefined][] = [
    ['broadcast', { kind: 'broadcast', groups: 2, columns: 3, parts: 2 }],
    ['broadcast, fours', { kind: 'broadcast', groups: 2, columns: 4, parts: 2 }],
    ['naive', { kind: 'naive' }],
    ['tiled', small],
    ['tiled, split, ahead', ahead],
  ];
  it('in the form that the planner picks', async () => {
    const { m, n, k } = plain;
    await check({ ...plain, a: view([[], m, k]), b: view([[], k, n]), out: 'f32' });
  });
  it.each(forms)('odd sizes, form %s', async (_, form) => {
    const { m, n, k } = plain;
    await check({ ...plain, a: view([[], m, k]), b: view([[], k, n]), out: 'f32' }, form);
  });
  it.each(forms)('both transposed, batches, gaps, offsets, form %s', async (_, form) => {
    const [batch, m, n, k] = [[2, 3], 33, 20, 19];
    await check(
      {
        batch,
        m,
        n,
        k,
        a: view([batch, m, k], { transposed: true, gap: 3, offset: 5 }),
        b: view([batch, k, n], { transposed: true, gap: 1, offset: 2 }),
        out: 'f32',
      },
      form,
    );
  });
  it.each(forms)('a repeated matrix, aligned fours, form %s', async (_, form) => {
    const [batch, m, n, k] = [[3], 36, 64, 48];
    await check(
      {
        batch,
        m,
        n,
        k,
        a: view([batch, m, k], { repeat: true }),
        b: view([batch, k, n], { offset: 8 }),
        out: 'f32',
      },
      form,
    );
  });
  it.each(forms.slice(0, 2))('both transposed, aligned fours, form %s', async (_, form) => {
    const [batch, m, n, k] = [[2], 36, 44, 28];
    await check(
      {
        ...{ batch, m, n, k },
        a: view([batch, m, k], { transposed: true, offset: 4 }),
        b: view([batch, k, n], { transposed: true, gap: 4 }),
        out: 'f32',
      },
      form,
    );
  });
  it('rows read by fours whose k ends within a round', async () => {
    const [m, n, k] = [20, 36, 29];
    const a = view([[], m, k], { transposed: true });
    await check({ batch: [], m, n, k, a, b: view([[], k, n]), out: 'f32' }, forms[1]![1]);
  });
  it('vectors', async () => {
    for (const [m, n, k] of [
      [1, 97, 131],
      [97, 1, 131],
    ] as const)
      await check({ batch: [], m, n, k, a: view([[], m, k]), b: view([[], k, n]), out: 'f32' });
  });
  it('f16 kept, f32 summed', async ({ skip }) => {
    const [m, n, k] = [40, 68, 60];
    const [a, b] = [view([[], m, k], { storage: 'f16' }), view([[], k, n], { storage: 'f16' })];
    await onF16(skip, async (device) => {
      await check({ batch: [], m, n, k, a, b, out: 'f16' }, undefined, device);
      await check({ batch: [], m, n, k, a, b: view([[], k, n]), out: 'f32' }, undefined, device);
    });
  });
  it.each(forms)('an epilogue adds a bias to each column, form %s', async (_, form) => {
    const { m, n, k } = plain;
    const epilogue: Epilogue = {
      key: 'bias',
      operands: [{ storage: 'f32', size: n }],
      code: (value, index, [bias]) => `(${value} + ${bias!(`${index} % ${n}u`)})`,
    };
    const matmul: Matmul = {
      ...plain,
      a: view([[], m, k]),
      b: view([[], k, n]),
      out: 'f32',
      epilogue,
    };
    const [x, y, bias] = [numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3)];
    const plan = planMatmul(matmul, device.target, form);
    const [out] = await runPlan(device, plan, [x, y, bias], [{ storage: 'f32', size: m * n }]);
    const wanted = product(matmul, x.data, y.data).map((v, i) => v + bias.data[i % n]!);
    expectClose(out!, wanted);
  });
});

describe('the planner of products', () => {
  const square = (n: number): Matmul => ({
    batch: [],
    m: n,
    n,
    k: n,
    a: view([[], n, n]),
    b: view([[], n, n]),
    out: 'f32',
  });
  const form = (matmul: Matmul, target = large) => formOf(matmulProduct(matmul), target);

  it('takes large tiles where they fill a device, and small ones or parts of k where not', () => {
    expect(form(square(4096))).toMatchObject({ kind: 'tiled', tile: { m: 128, n: 128 }, parts: 1 });
    const few = form(square(256));
    expect(few.kind === 'tiled' && few.tile.m < 128).toBe(true);
    const long = form({ ...square(64), k: 65536 });
    expect(long.kind === 'tiled' && long.parts > 8).toBe(true);
  });
  it('broadcasts rows on software devices with subgroups of one size, and is plain without', () => {
    expect(form(square(512), lavapipe)).toEqual({
      kind: 'broadcast',
      groups: 2,
      columns: 4,
      parts: 1,
    });
    expect(form(square(1024), lavapipe)).toMatchObject({ groups: 4, columns: 4 });
    // One tile of 40 columns in place of two of 32.
    expect(form({ ...square(512), n: 40 }, lavapipe)).toMatchObject({ groups: 2, columns: 5 });
    expect(form({ ...square(512), n: 8 }, lavapipe)).toMatchObject({ groups: 2, columns: 1 });
    expect(form(square(512), { ...lavapipe, subgroups: undefined })).toEqual({ kind: 'naive' });
    expect(form(square(512), { ...lavapipe, subgroups: { min: 4, max: 8 } })).toEqual({
      kind: 'naive',
    });
  });
  it('keeps within the limits of every device, for every tile and shape', () => {
    for (const target of [smallest, large, lavapipe])
      for (const [m, n, k] of [
        [1, 1, 1],
        [4096, 4096, 4096],
        [7, 100000, 3],
        [70000, 40000, 16],
        [5, 3, 1000000],
        [320, 77, 768],
      ] as const) {
        const matmul = { batch: [], m, n, k, a: view([[], m, k]), b: view([[], k, n]) };
        for (const { kernel } of planMatmul({ ...matmul, out: 'f32' }, target).steps) {
          expect(Math.max(...kernel.workgroups)).toBeLessThanOrEqual(target.workgroups);
          expect(kernel.operands.length).toBeLessThanOrEqual(target.bindings);
        }
        const { scratch } = planMatmul({ ...matmul, out: 'f32' }, target);
        for (const bytes of scratch) expect(bytes).toBeLessThanOrEqual(target.bindingBytes);
      }
  });
  it('counts what is computed and moved, and names code by its form', () => {
    const { kernel } = planMatmul(square(1024), large).steps[0]!;
    expect(kernel).toMatchObject({ flops: 2 * 1024 ** 3, bytes: 3 * 4 * 1024 ** 2 });
    expect(kernel.name).toMatch(/^matmul \d+x\d+x16 /);
  });
});

describe('without a device', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openWith(['backend=null']);
  });
  afterAll(() => closeDevice(device));
  it.each(tiles.map(([tile]) => [`${tile.m}x${tile.n}`, tile] as const))(
    'tile %s is valid WGSL',
    async (_, tile) => {
      device.gpu.pushErrorScope('validation');
      const [m, n, k] = [129, 65, 33];
      for (const storage of ['f32', 'f16'] as const) {
        const a = view([[], m, k], { storage });
        const b = view([[], k, n], { storage });
        const plan = planMatmul({ batch: [], m, n, k, a, b, out: storage }, large, {
          kind: 'tiled',
          tile,
          parts: 2,
        });
        for (const { kernel } of plan.steps) device.gpu.createShaderModule({ code: kernel.code });
      }
      expect((await device.gpu.popErrorScope())?.message).toBeUndefined();
    },
  );
});
