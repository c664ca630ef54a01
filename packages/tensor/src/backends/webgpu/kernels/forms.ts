/** @file Which form a product takes on a device, by its shape and the device's limits; and its steps. */
import type { Plan, Target } from '../kernel.ts';
import { broadcast, broadcastK, ownsFours } from './broadcast.ts';
import { naive } from './naive.ts';
import {
  matrixInvocations,
  type MatrixTile,
  matrixTileBytes,
  subgroupMatrix,
} from './subgroupMatrix.ts';
import { type Product, resultSize, splitK, sumParts } from './product.ts';
import { invocationsOf, type Tile, tileBytes, tiled } from './tiled.ts';
import { ceilDiv } from './wgsl.ts';

export type Form =
  | { readonly kind: 'naive' }
  | {
      readonly kind: 'broadcast';
      readonly groups: number;
      readonly columns: number;
      readonly parts: number;
    }
  | { readonly kind: 'tiled'; readonly tile: Tile; readonly parts: number }
  | { readonly kind: 'matrix'; readonly tile: MatrixTile; readonly parts: number };

/** Rows of a tile on a device that computes on the processor. Twice as many take lavapipe more than twice as long to compile (a second), and make products a tenth faster, which pays for those of this many multiplications. */
const LARGE_ON_SOFTWARE = 2 ** 29;
const softwareRows = ({ batch, m, n, k }: Product): number =>
  batch * m * n * k < LARGE_ON_SOFTWARE ? 16 : 32;
/** Columns of an invocation there: four, unless another number leaves a tenth less to do. What a tile takes grows with its columns, and with what it reads for its rows; fours are read faster. */
function softwareColumns(product: Product, size: number): number {
  const cost = (columns: number) =>
    ceilDiv(product.n, columns * size) * (columns + 1) * (ownsFours(product, columns) ? 0.8 : 1);
  const [first, ...others] = [4, 5, 3, 2, 1] as const;
  return others.reduce<number>(
    (best, columns) => (cost(columns) < 0.9 * cost(best) ? columns : best),
    first,
  );
}
/** Workgroups that a large processor works on at once. */
const busy = 132;
/** Tiles, and their speed against the fastest (measured on an H200: 39 TFLOP/s). */
export const tiles: readonly (readonly [Tile, number])[] = [
  [{ m: 128, n: 128, k: 16, rows: 8, columns: 8, ahead: true }, 1],
  [{ m: 128, n: 64, k: 16, rows: 8, columns: 4, ahead: true }, 0.96],
  [{ m: 64, n: 128, k: 16, rows: 4, columns: 8, ahead: true }, 0.98],
  [{ m: 64, n: 64, k: 16, rows: 8, columns: 4, ahead: true }, 0.98],
  [{ m: 32, n: 64, k: 16, rows: 4, columns: 4, ahead: true }, 0.82],
  [{ m: 32, n: 32, k: 16, rows: 4, columns: 4, ahead: true }, 0.75],
];

/** The same of tiles of subgroup matrices (200 TFLOP/s). */
export const matrixTiles: readonly (readonly [MatrixTile, number])[] = [
  [{ m: 128, n: 128, k: 32, down: 2, across: 2, ahead: false }, 1],
  [{ m: 128, n: 64, k: 32, down: 2, across: 2, ahead: false }, 0.8],
  [{ m: 64, n: 128, k: 32, down: 2, across: 2, ahead: false }, 0.8],
  [{ m: 64, n: 64, k: 32, down: 2, across: 2, ahead: false }, 0.68],
  [{ m: 32, n: 32, k: 32, down: 2, across: 1, ahead: false }, 0.32],
];

/** Whether a device multiplies matrices of both operands' storage by subgroups. */
export const multipliesMatrices = ({ a, b }: Product, target: Target): boolean =>
  target.kind === 'gpu' &&
  target.f16 &&
  target.subgroupMatrix !== undefined &&
  target.subgroups !== undefined &&
  target.subgroups.min <= 32 &&
  target.subgroups.max >= 32 &&
  a.storage === 'f16' &&
  b.storage === 'f16';
export const matrixFits = (product: Product, tile: MatrixTile, target: Target): boolean =>
  matrixInvocations(tile) <= target.workgroupSize &&
  tile.m % (tile.down * target.subgroupMatrix!.m) === 0 &&
  tile.n % (tile.across * target.subgroupMatrix!.n) === 0 &&
  tile.k % target.subgroupMatrix!.k === 0 &&
  matrixTileBytes(product, tile, target.subgroupMatrix!.m) <= target.workgroupStorage;

/** Whether a tile is within the limits of a device. */
export const fits = (product: Product, tile: Tile, target: Target): boolean =>
  invocationsOf(tile) <= target.workgroupSize &&
  tileBytes(product, tile) <= target.workgroupStorage;

/** The parts that k may be divided into: what their sums take must fit one binding. */
const divisions = (product: Product, target: Target): number[] =>
  [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].filter(
    (parts) =>
      parts === 1 ||
      (resultSize(product) * parts * 4 <= Math.min(target.bindingBytes, 2 ** 26) &&
        product.k / parts >= 128),
  );

/** Software drivers take longer to compile a fast kernel than a plain one takes for fewer multiplications than this. */
const FAST_ON_SOFTWARE = 2 ** 23;
/** The plain form, where a device takes longer to compile another than this product takes. */
export const plainForm = (target: Target, multiplications: number): Form | undefined =>
  target.kind === 'software' && multiplications < FAST_ON_SOFTWARE ? { kind: 'naive' } : undefined;

/** The size of every subgroup, where a device has only one. */
export const fixedSubgroup = ({ subgroups }: Target): number | undefined =>
  subgroups && subgroups.min === subgroups.max ? subgroups.min : undefined;

export function formOf(product: Product, target: Target): Form {
  const { batch, m, n, k } = product;
  if (target.kind === 'software') {
    const size = fixedSubgroup(target);
    if (size === undefined || size > 16 || m * n < 16) return { kind: 'naive' };
    const groups = Math.min(ceilDiv(softwareRows(product), size), ceilDiv(m, size));
    const columns = softwareColumns(product, size);
    const workgroups = batch * ceilDiv(m, groups * size) * ceilDiv(n, columns * size);
    // Eight workgroups keep the threads of a processor busy.
    const parts = divisions(product, target).find((p) => workgroups * p >= 8) ?? 1;
    return { kind: 'broadcast', groups, columns, parts: Math.max(parts, 1) };
  }
  const choices: { tile: Tile | MatrixTile; form: (parts: number) => Form; share: number }[] =
    multipliesMatrices(product, target)
      ? matrixTiles
          .filter(([tile]) => matrixFits(product, tile, target))
          .map(([tile, share]) => ({
            tile,
            share: 5 * share,
            form: (parts) => ({ kind: 'matrix', tile, parts }),
          }))
      : tiles
          .filter(([tile]) => fits(product, tile, target))
          .map(([tile, share]) => ({
            tile,
            share,
            form: (parts) => ({ kind: 'tiled', tile, parts }),
          }));
  let best: { form: Form; time: number } | undefined;
  for (const { tile, form, share } of choices) {
    const groups = batch * ceilDiv(m, tile.m) * ceilDiv(n, tile.n);
    for (const parts of divisions(product, target)) {
      const rounds = ceilDiv(groups * parts, busy);
      const work = (rounds * tile.m * tile.n * ceilDiv(k, parts)) / share;
      // A sum of a part is written and read in the time of some 40 multiplications of f32 on the same part of the device; a step takes a microsecond to begin.
      const sums = parts === 1 ? 0 : (40 * resultSize(product) * (parts + 1)) / busy + 2e5;
      const time = work + sums;
      if (best === undefined || time < best.time) best = { form: form(parts), time };
    }
  }
  return best?.form ?? { kind: 'naive' };
}

/** The steps of a product in a form. */
export function planProduct(product: Product, form: Form, target: Target): Plan {
  if (form.kind === 'naive') return { steps: [naive(product, target)], scratch: [] };
  const split = splitK(product.k, form.parts, 'tile' in form ? form.tile.k : broadcastK);
  const first =
    form.kind === 'tiled'
      ? tiled(product, form.tile, split, target)
      : form.kind === 'matrix'
        ? subgroupMatrix(product, form.tile, split, target)
        : broadcast(product, { size: fixedSubgroup(target)!, ...form }, split, target);
  if (split.parts === 1) return { steps: [first], scratch: [] };
  return {
    steps: [first, sumParts(product, split.parts, target)],
    scratch: [resultSize(product) * split.parts * 4],
  };
}
