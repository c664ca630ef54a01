/** @file What is measured: products, the convolutions of Stable Diffusion 1.5, and the forms that each may take. */
import type { Plan, Storage, Target } from '../../packages/tensor/src/backends/webgpu/kernel.ts';
import {
  type AttentionForm,
  planAttention,
  planAttentionGrad,
} from '../../packages/tensor/src/backends/webgpu/kernels/attention.ts';
import {
  conv2dShape,
  planConv2d,
  planConv2dGradInput,
  planConv2dGradWeight,
} from '../../packages/tensor/src/backends/webgpu/kernels/convolution.ts';
import {
  type Form,
  matrixTiles,
  tiles,
} from '../../packages/tensor/src/backends/webgpu/kernels/forms.ts';
import { planMatmul } from '../../packages/tensor/src/backends/webgpu/kernels/matmul.ts';
import { matrixTileName } from '../../packages/tensor/src/backends/webgpu/kernels/subgroupMatrix.ts';
import { tileName } from '../../packages/tensor/src/backends/webgpu/kernels/tiled.ts';

export interface Values {
  readonly storage: Storage;
  readonly size: number;
}
export interface Job {
  readonly name: string;
  readonly inputs: readonly Values[];
  readonly outputs: readonly Values[];
  readonly plain: () => Plan;
  readonly variants: readonly {
    readonly form: string;
    readonly picked: boolean;
    readonly plan: () => Plan;
  }[];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const nameOf = (form: Form): string =>
  form.kind === 'tiled'
    ? `${tileName(form.tile)} /${form.parts}`
    : form.kind === 'matrix'
      ? `${matrixTileName(form.tile)} /${form.parts}`
      : form.kind === 'broadcast'
        ? `broadcast ${form.groups}x${form.columns} /${form.parts}`
        : 'naive';

/** The forms that a device may be asked for; `wide`: every one of them. */
function forms(target: Target, storage: Storage, wide: boolean): Form[] {
  if (target.kind === 'software')
    return [
      ...(wide ? [{ kind: 'naive' } as const] : []),
      ...[
        [2, 2],
        [2, 4],
        [4, 4],
      ].map(
        ([groups, columns]): Form => ({
          kind: 'broadcast',
          groups: groups!,
          columns: columns!,
          parts: 1,
        }),
      ),
    ];
  const plain = tiles.map(([tile]): Form => ({ kind: 'tiled', tile, parts: 1 }));
  const others: Form[] = wide
    ? [
        { m: 128, n: 128, k: 16, rows: 8, columns: 8, ahead: false },
        { m: 64, n: 64, k: 16, rows: 4, columns: 4, ahead: true },
        { m: 64, n: 64, k: 16, rows: 8, columns: 4, ahead: false },
        { m: 64, n: 128, k: 16, rows: 8, columns: 8, ahead: true },
        { m: 64, n: 256, k: 16, rows: 8, columns: 8, ahead: true },
      ].map((tile): Form => ({ kind: 'tiled', tile, parts: 1 }))
    : [];
  const split: Form[] = [2, 4].map((parts) => ({ kind: 'tiled', tile: tiles[3]![0], parts }));
  if (storage === 'f32' || !target.subgroupMatrix) return [...plain, ...others, ...split];
  const matrices = matrixTiles.map(([tile]): Form => ({ kind: 'matrix', tile, parts: 1 }));
  const wider: Form[] = wide
    ? [
        { m: 128, n: 128, k: 32, down: 2, across: 2, ahead: true },
        { m: 128, n: 128, k: 64, down: 2, across: 2, ahead: false },
        { m: 128, n: 128, k: 16, down: 2, across: 2, ahead: false },
        { m: 128, n: 128, k: 32, down: 2, across: 4, ahead: false },
        { m: 128, n: 128, k: 32, down: 4, across: 2, ahead: false },
        { m: 128, n: 256, k: 32, down: 2, across: 4, ahead: false },
        { m: 256, n: 128, k: 32, down: 4, across: 2, ahead: false },
        { m: 256, n: 64, k: 32, down: 4, across: 1, ahead: false },
        { m: 64, n: 64, k: 64, down: 2, across: 2, ahead: false },
        { m: 64, n: 64, k: 32, down: 1, across: 2, ahead: false },
        { m: 64, n: 64, k: 32, down: 2, across: 2, ahead: true },
      ].map((tile): Form => ({ kind: 'matrix', tile, parts: 1 }))
    : [];
  const splitMatrices = [matrixTiles[0]![0], matrixTiles[3]![0]].flatMap((tile) =>
    [2, 4, 8].map((parts): Form => ({ kind: 'matrix', tile, parts })),
  );
  return [plain[0]!, ...matrices, ...wider, ...splitMatrices];
}

/** A planner's own choice, and the forms that it might have taken. */
function variants(
  plan: (form?: Form) => Plan,
  target: Target,
  storage: Storage,
  wide: boolean,
): Job['variants'] {
  return [
    { form: 'planner', picked: true, plan: () => plan() },
    ...forms(target, storage, wide).map((form) => ({
      form: nameOf(form),
      picked: false,
      plan: () => plan(form),
    })),
  ];
}

function matmulJob(
  target: Target,
  [m, n, k]: readonly [number, number, number],
  storage: Storage,
  { transposed = false, wide = false } = {},
): Job {
  const plan = (form?: Form) =>
    planMatmul(
      {
        batch: [],
        m,
        n,
        k,
        a: { storage, offset: 0, strides: [k, 1] },
        b: { storage, offset: 0, strides: transposed ? [1, k] : [n, 1] },
        out: storage,
      },
      target,
      form,
    );
  return {
    name: `matmul ${storage} ${m}x${n}x${k}${transposed ? ' transposed' : ''}`,
    inputs: [
      { storage, size: m * k },
      { storage, size: k * n },
    ],
    outputs: [{ storage, size: m * n }],
    plain: () => plan({ kind: 'naive' }),
    variants: variants(plan, target, storage, wide),
  };
}

type Direction = 'forward' | 'input' | 'weight';
function convJob(
  target: Target,
  direction: Direction,
  { n, channels, side, kernel }: { n: number; channels: number; side: number; kernel: number },
  storage: Storage,
): Job {
  const x = [n, channels, side, side] as const;
  const w = [channels, channels, kernel, kernel] as const;
  const p = (kernel - 1) / 2;
  const conv = {
    stride: [1, 1] as const,
    padding: [p, p, p, p] as const,
    storage: { x: storage, w: storage, dy: storage, out: storage },
  };
  const dy = conv2dShape({ x, w, ...conv });
  const plan = (form?: Form) =>
    direction === 'forward'
      ? planConv2d({ x, w, ...conv }, target, form)
      : direction === 'input'
        ? planConv2dGradInput({ dy, w, size: [side, side], ...conv }, target, form)
        : planConv2dGradWeight({ x, dy, kernel: [kernel, kernel], ...conv }, target, form);
  const shapes = { forward: [x, w, dy], input: [dy, w, x], weight: [x, dy, w] }[direction];
  const [a, b, out] = shapes.map((shape) => ({ storage, size: sizeOf(shape) })) as [
    Values,
    Values,
    Values,
  ];
  return {
    name: `conv ${direction} ${storage} ${kernel}x${kernel} ${n}x${channels}x${side}x${side}`,
    inputs: [a, b],
    outputs: [out],
    plain: () => plan({ kind: 'naive' }),
    variants: variants(plan, target, storage, false),
  };
}

function attentionJob(
  target: Target,
  gradient: boolean,
  { batch, length, dim }: { batch: number; length: number; dim: number },
  storage: Storage,
): Job {
  const heads = 8;
  const shape = {
    batch,
    heads,
    queries: length,
    keys: length,
    dim,
    valueDim: dim,
    scale: 1 / Math.sqrt(dim),
    causal: false,
    storage: Object.fromEntries(
      ['q', 'k', 'v', 'out', 'dout', 'dq', 'dk', 'dv'].map((name) => [name, storage]),
    ) as Parameters<typeof planAttentionGrad>[0]['storage'],
  };
  const values = { storage, size: batch * length * heads * dim };
  const plan = (form?: AttentionForm) =>
    gradient ? planAttentionGrad(shape, target, form) : planAttention(shape, target, form);
  return {
    name: `attention${gradient ? ' grad' : ''} ${storage} ${batch}x${length}x${heads}x${dim}`,
    inputs: Array.from({ length: gradient ? 5 : 3 }, () => values),
    outputs: Array.from({ length: gradient ? 3 : 1 }, () => values),
    plain: () => plan('serial'),
    variants: [
      { form: 'planner', picked: true, plan: () => plan() },
      target.kind === 'gpu'
        ? { form: 'tiled', picked: false, plan: () => plan('tiled') }
        : { form: 'serial', picked: false, plan: () => plan('serial') },
    ],
  };
}

/** Most telling first, as time may run out. */
export function jobs(target: Target): Job[] {
  const levels = [
    { channels: 320, side: 64, kernel: 3 },
    { channels: 640, side: 32, kernel: 3 },
    { channels: 1280, side: 16, kernel: 3 },
  ];
  if (target.kind === 'software')
    return [
      matmulJob(target, [512, 512, 512], 'f32', { wide: true }),
      matmulJob(target, [1024, 1024, 1024], 'f32', { wide: true }),
      matmulJob(target, [512, 512, 512], 'f32', { transposed: true }),
      attentionJob(target, false, { batch: 1, length: 256, dim: 40 }, 'f32'),
      attentionJob(target, true, { batch: 1, length: 256, dim: 40 }, 'f32'),
      convJob(target, 'forward', { n: 1, channels: 320, side: 32, kernel: 3 }, 'f32'),
      convJob(target, 'input', { n: 1, channels: 320, side: 32, kernel: 3 }, 'f32'),
      convJob(target, 'weight', { n: 1, channels: 320, side: 32, kernel: 3 }, 'f32'),
      convJob(target, 'forward', { n: 1, channels: 320, side: 32, kernel: 1 }, 'f32'),
    ];
  const storages: Storage[] = target.f16 ? ['f16', 'f32'] : ['f32'];
  return [
    ...storages.map((s) => matmulJob(target, [4096, 4096, 4096], s, { wide: true })),
    ...storages.map((s) => convJob(target, 'forward', { n: 8, ...levels[0]! }, s)),
    ...[false, true].map((gradient) =>
      attentionJob(target, gradient, { batch: 4, length: 4096, dim: 40 }, storages[0]!),
    ),
    ...storages.map((s) => matmulJob(target, [1024, 1024, 1024], s)),
    ...(['input', 'weight'] as const).flatMap((direction) =>
      storages.map((s) => convJob(target, direction, { n: 8, ...levels[0]! }, s)),
    ),
    ...storages.map((s) => matmulJob(target, [4096, 320, 320], s, { transposed: true })),
    ...levels
      .slice(1)
      .flatMap((level) => storages.map((s) => convJob(target, 'forward', { n: 8, ...level }, s))),
    ...levels.flatMap((level) =>
      storages.map((s) => convJob(target, 'forward', { n: 1, ...level }, s)),
    ),
    ...storages.map((s) => convJob(target, 'weight', { n: 8, ...levels[2]! }, s)),
    ...[
      { batch: 4, length: 1024, dim: 80 },
      { batch: 4, length: 256, dim: 160 },
    ].flatMap((size) =>
      [false, true].map((gradient) => attentionJob(target, gradient, size, storages[0]!)),
    ),
    ...storages.map((s) => matmulJob(target, [512, 512, 512], s)),
  ];
}
