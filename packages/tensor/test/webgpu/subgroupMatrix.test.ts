import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Plan } from '../../src/backends/webgpu/kernel.ts';
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
import { type Values, closeDevice, type Device, openDevice, openWith, runPlan } from './device.ts';
import { expectClose, numbers } from './numbers.ts';
import { large } from './targets.ts';

/**
 * Subgroup matrices as plain WGSL: every invocation of a subgroup holds all of a matrix and does all of a product.
 * What is left as it is: where tiles lie, how they are read, which subgroup does what, and how results are written.
 */
function emulated(plan: Plan): Plan {
  const { m, n, k } = large.subgroupMatrix!;
  const matrices = `alias Left = array<f32, ${m * k}>; alias Right = array<f32, ${k * n}>; alias Sum = array<f32, ${m * n}>;
fn half_at(i: u32) -> f32 { return unpack2x16float(memory[i / 2u])[i % 2u]; }
fn left_row_major(i: u32, pitch: u32) -> Left { var r: Left; for (var j = 0u; j < ${m * k}u; j++) { r[j] = half_at(i + j / ${k}u * pitch + j % ${k}u); } return r; }
fn left_col_major(i: u32, pitch: u32) -> Left { var r: Left; for (var j = 0u; j < ${m * k}u; j++) { r[j] = half_at(i + j % ${k}u * pitch + j / ${k}u); } return r; }
fn right_row_major(i: u32, pitch: u32) -> Right { var r: Right; for (var j = 0u; j < ${k * n}u; j++) { r[j] = half_at(i + j / ${n}u * pitch + j % ${n}u); } return r; }
fn right_col_major(i: u32, pitch: u32) -> Right { var r: Right; for (var j = 0u; j < ${k * n}u; j++) { r[j] = half_at(i + j % ${n}u * pitch + j / ${n}u); } return r; }
fn product(a: Left, b: Right, c: Sum) -> Sum { var r = c; var x = a; var y = b;
for (var j = 0u; j < ${m * n}u; j++) { for (var l = 0u; l < ${k}u; l++) { r[j] += x[j / ${n}u * ${k}u + l] * y[l * ${n}u + j % ${n}u]; } } return r; }
fn put(i: u32, a: Sum, pitch: u32) { var x = a; for (var j = 0u; j < ${m * n}u; j++) { memory[i + j / ${n}u * pitch + j % ${n}u] = bitcast<u32>(x[j]); } }`;
  return {
    ...plan,
    steps: plan.steps.map((s) => {
      if (!s.kernel.name.includes('matrix')) return s;
      const words = Number(/buffer<(\d+)>/.exec(s.kernel.code)![1]) / 4;
      const code = s.kernel.code
        .replace(/diagnostic.*\n/, '')
        .replace(
          'enable subgroup_size_control;\nenable chromium_experimental_subgroup_matrix;\n',
          matrices.replace(/^/, ''),
        )
        .replace(/@subgroup_size\(32\)/, '')
        .replace(', @builtin(subgroup_id) subgroup: u32', '')
        .replace(
          'let halves = bufferView<array<f16>>(&memory, 0);\n',
          'let subgroup = lane / 32u;\n',
        )
        .replace(/let floats = .*\n/, '')
        .replace(/let fours = .*\n/, '')
        .replace(/let [ab]_units = .*\n/g, '')
        .replaceAll(
          'fours[q]',
          'bitcast<vec4f>(vec4u(memory[4u * q], memory[4u * q + 1u], memory[4u * q + 2u], memory[4u * q + 3u]))',
        )
        .replace(/buffer<\d+>/, `array<u32, ${words}>`)
        .replace(/[ab]_units\[(.*)\] = ([ab]_next\d+);/g, (_, at: string, value: string) => {
          const wide = new RegExp(`var ${value} = vec4`).test(s.kernel.code);
          return [0, 1, 2, 3]
            .slice(0, wide ? 4 : 2)
            .map((c) => `memory[(${at}) * ${wide ? 4 : 2}u + ${c}u] = ${value}.${'xyzw'[c]};`)
            .join(' ');
        })
        .replace(
          /subgroupMatrixLoad<subgroup_matrix_(left|right)<[^>]*>, (\w+)>\(halves, /g,
          '$1_$2(',
        )
        .replace(/: subgroup_matrix_result<[^>]*>/g, ': Sum')
        .replaceAll('subgroupMatrixMultiplyAccumulate(', 'product(')
        .replaceAll('subgroupMatrixStore<row_major>(floats, ', 'put(');
      const [enables, rest] = [code.match(/^enable .*;$/gm)!, code.replace(/^enable .*;\n?/gm, '')];
      return { ...s, kernel: { ...s.kernel, code: `${enables.join('\n')}\n${rest}` } };
    }),
  };
}

const f16 = (row: number, column: number, offset = 0) => ({
  storage: 'f16' as const,
  offset,
  strides: [row, column],
});
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** Two by two subgroups, one by two, and parts of k. */
const form: Form = {
  kind: 'matrix',
  tile: { m: 32, n: 16, k: 16, down: 2, across: 1, ahead: true },
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

  async function check(matmul: Matmul, sizes: [number, number], form: Form) {
    const [x, y] = [numbers(sizes[0], 1, 'f16'), numbers(sizes[1], 2, 'f16')];
    const { m, n } = matmul;
    const out = [{ storage: matmul.out, size: m * n }];
    const plan = emulated(planMatmul(matmul, large, form));
    const [ours] = await runPlan(device, plan, [x, y], out);
    const plain = planMatmul(matmul, large, { kind: 'naive' });
    const [wanted] = await runPlan(device, plain, [x, y], out);
    expectClose(ours!, wanted!, matmul.out);
  }

  it('rows and columns that no tile divides, read one by one', async ({ skip }) => {
    skip(!device.target.f16, 'the device has no f16');
    const [m, n, k] = [67, 35, 21];
    const matmul: Matmul = { batch: [], m, n, k, a: f16(k, 1, 3), b: f16(n, 1), out: 'f32' };
    await check(matmul, [3 + m * k, k * n], form);
  });
  it('both transposed, in parts, in groups of eight', async ({ skip }) => {
    skip(!device.target.f16, 'the device has no f16');
    const [m, n, k] = [40, 72, 48];
    const matmul: Matmul = { batch: [], m, n, k, a: f16(1, m), b: f16(1, k), out: 'f16' };
    await check(matmul, [m * k, k * n], parted);
  });
  it('neither transposed, in groups of four', async ({ skip }) => {
    skip(!device.target.f16, 'the device has no f16');
    const [m, n, k] = [36, 68, 20];
    const matmul: Matmul = { batch: [], m, n, k, a: f16(k, 1), b: f16(n, 1), out: 'f32' };
    await check(matmul, [m * k, k * n], form);
  });
  it('convolutions', async ({ skip }) => {
    skip(!device.target.f16, 'the device has no f16');
    const conv = {
      x: [2, 5, 6, 7] as const,
      w: [9, 5, 3, 3] as const,
      stride: [1, 1] as const,
      padding: [1, 1, 1, 1] as const,
      storage: { x: 'f16', w: 'f16', dy: 'f16', out: 'f32' } as const,
    };
    const dy = conv2dShape(conv);
    const values = [conv.x, conv.w, dy].map((s, i) => numbers(size(s), i, 'f16')) as [
      Values,
      Values,
      Values,
    ];
    for (const [plan, inputs, out] of [
      [(f: Form) => planConv2d(conv, large, f), [values[0], values[1]], size(dy)],
      [
        (f: Form) => planConv2dGradWeight({ ...conv, dy, kernel: [3, 3] }, large, f),
        [values[0], values[2]],
        size(conv.w),
      ],
    ] as const) {
      const outputs = [{ storage: 'f32', size: out }] as const;
      const [ours] = await runPlan(device, emulated(plan(form)), inputs, outputs);
      const [wanted] = await runPlan(device, plan({ kind: 'naive' }), inputs, outputs);
      expectClose(ours!, wanted!);
    }
  });
});

describe('products by subgroup matrices', () => {
  it('are for f16 alone, on devices that have them', () => {
    const n = 4096;
    const kind = (a: 'f16' | 'f32', b: 'f16' | 'f32', target = large) =>
      formOf(
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
    expect(kind('f16', 'f16')).toBe('matrix');
    expect(kind('f16', 'f32')).toBe('tiled');
    expect(kind('f16', 'f16', { ...large, subgroupMatrix: undefined })).toBe('tiled');
    expect(kind('f16', 'f16', { ...large, subgroups: { min: 64, max: 64 } })).toBe('tiled');
  });
  it.each(matrixTiles.map(([tile]) => [`${tile.m}x${tile.n}`, tile] as const))(
    'tile %s is valid WGSL',
    async (_, tile) => {
      const device = await openWith(['backend=null']);
      device.gpu.pushErrorScope('validation');
      const [m, n, k] = [129, 65, 33];
      for (const [a, b] of [
        [f16(k, 1), f16(n, 1)],
        [f16(1, m), f16(1, k)],
        [f16(1, 136), f16(64, 1)],
      ] as const) {
        const plan = planMatmul({ batch: [], m, n, k, a, b, out: 'f16' }, large, {
          kind: 'matrix',
          tile,
          parts: 1,
        });
        device.gpu.createShaderModule({ code: plan.steps[0]!.kernel.code });
      }
      expect((await device.gpu.popErrorScope())?.message).toBeUndefined();
      await closeDevice(device);
    },
  );
});
