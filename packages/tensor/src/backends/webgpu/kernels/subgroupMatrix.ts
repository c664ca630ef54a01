/** @file A product of f16 matrices by units that multiply whole matrices (tensor cores), with f32 sums: Dawn's experimental subgroup matrices. */
import type { Step, Target } from '../kernel.ts';
import {
  fourRows,
  type Product,
  productParts,
  type Side,
  type SideText,
  type Split,
  tileLoop,
} from './product.ts';
import { groupPlace } from './tiled.ts';
import { ceilDiv, every, lines, list, step } from './wgsl.ts';

/** A workgroup's tile, and how its subgroups divide it between them. */
export interface MatrixTile {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Subgroups along m and along n. */
  readonly down: number;
  readonly across: number;
  /** The next tiles are read from memory while the present ones are multiplied. */
  readonly ahead: boolean;
}

const subgroup = 32;
export const matrixInvocations = ({ down, across }: MatrixTile): number => subgroup * down * across;
export const matrixTileName = (t: MatrixTile): string =>
  `matrix ${t.m}x${t.n}x${t.k} ${t.down}x${t.across}${t.ahead ? ' ahead' : ''}`;

/** How an operand's tile lies in workgroup memory: lines along which its neighbours lie, 16 bytes longer than they need so that they begin in different banks. */
function layout(side: Side, extent: number, depth: number, { k }: Pick<Product, 'k'>) {
  const [length, count] = side.along === 'k' ? [depth, extent] : [extent, depth];
  // A k that is no multiple of 8 ends within a group of 8.
  const vector = side.along === 'k' && k % side.vector !== 0 ? 1 : side.vector;
  return { length, count, pitch: length + 8, vector, unit: vector === 8 ? 8 : 4 };
}

const tilesBytes = ({ a, b, k }: Pick<Product, 'a' | 'b' | 'k'>, tile: MatrixTile): number => {
  const of = (side: Side, extent: number) => {
    const { count, pitch } = layout(side, extent, tile.k, { k });
    return count * pitch * 2;
  };
  return of(a, tile.m) + of(b, tile.n);
};
/** Rows of 16 of what each subgroup has computed, as f32, on their way out: in the memory of the tiles. */
const stageBytes = (tile: MatrixTile, rows: number): number => tile.down * rows * tile.n * 4;

/** Bytes of workgroup memory; `rows`: of one of the device's matrices. */
export const matrixTileBytes = (
  product: Pick<Product, 'a' | 'b' | 'k'>,
  tile: MatrixTile,
  rows: number,
): number => Math.max(tilesBytes(product, tile), stageBytes(tile, rows));

/** Reads a group of 8 or 4 elements as they are. */
function groupsOf(name: 'a' | 'b', vector: 1 | 4 | 8): SideText {
  if (vector === 1)
    return {
      read: `fn read_${name}(address: u32, valid: bool) -> f16 { return select(0.0h, ${name}[select(0u, address, valid)], valid); }`,
    };
  const type = vector === 8 ? 'vec4<u32>' : 'vec2<u32>';
  return {
    element: type,
    read: `fn read_${name}(address: u32, valid: bool) -> ${type} { return select(${type}(0u), ${name}[select(0u, address, valid) / ${vector}u], valid); }`,
  };
}

/** Reads one operand's tile in groups of 8 or 4 along the axis of its neighbours, spread over the invocations. */
function loader(
  name: 'a' | 'b',
  product: Product,
  at: {
    extent: number;
    depth: number;
    invocations: number;
    /** Bytes before the tile in workgroup memory. */
    start: number;
  },
) {
  const side = product[name];
  const limit = name === 'a' ? product.m : product.n;
  const { length, count, pitch, vector, unit } = layout(side, at.extent, at.depth, product);
  const perLine = length / unit;
  const total = perLine * count;
  const units = ceilDiv(total, at.invocations);
  const alongK = side.along === 'k';
  const width = vector === 1 ? 4 : 1;
  // Rows that are named by the first of a group.
  const single = !alongK && (vector !== 1 || side.four !== undefined);
  const guardK = product.k % at.depth !== 0;
  const number = (u: number) => `(lane + ${u * at.invocations}u)`;
  const spot = (u: number) => `${number(u)} % ${perLine}u * ${unit}u`;
  const line = (u: number) => `${number(u)} / ${perLine}u`;
  const clamp = (row: string, last: number) => `min(${name}0 + ${row}, ${Math.max(last, 0)}u)`;
  // What depends on rows is the same in every round.
  const prepare = lines(units, (u) =>
    alongK
      ? side.outer(`_${name}${u}`, clamp(line(u), limit - 1))
      : lines(single ? 1 : width, (r) =>
          side.outer(
            `_${name}${u}${r}`,
            clamp(`${spot(u)} + ${r}u`, single ? limit - Math.max(vector, 4) : limit - 1),
          ),
        ),
  );
  const element = (outer: string, inner: string, k: string) => {
    const { address, valid } = side.at(outer, inner);
    const within = guardK ? `${k} < ${product.k}u` : undefined;
    return `read_${name}(${address}, ${every([valid, within]) ?? 'true'})`;
  };
  const type = unit === 8 ? 'vec4<u32>' : 'vec2<u32>';
  const read = lines(units, (u) => {
    const k = (r: number) => `k_${name}${u}${r}`;
    const depth = alongK ? spot(u) : line(u);
    const inner = lines(
      alongK ? width : 1,
      (r) => `let ${k(r)} = k0 + ${depth} + ${r}u; ${side.inner(`_${name}k${u}${r}`, k(r))}`,
    );
    const rowAt = (r: number) => `_${name}${u}${r}`;
    const elements = alongK
      ? list(width, (r) => element(`_${name}${u}`, `_${name}k${u}${r}`, k(r)))
      : vector === 1
        ? fourRows(
            name,
            side,
            [0, 1, 2, 3].map(rowAt),
            `_${name}k${u}0`,
            guardK ? `${k(0)} < ${product.k}u` : undefined,
          )
        : element(rowAt(0), `_${name}k${u}0`, k(0));
    const value = vector === 1 ? `bitcast<vec2<u32>>(vec4<f16>(${elements}))` : elements;
    return `${inner} ${name}_next${u} = ${value};`;
  });
  const write = lines(units, (u) => {
    // In units of 16 or 8 bytes; a pitch is a multiple of both.
    const store = `${name}_units[${(at.start / 2 / unit) | 0}u + ${line(u)} * ${pitch / unit}u + ${number(u)} % ${perLine}u] = ${name}_next${u};`;
    return (u + 1) * at.invocations > total ? `if (${number(u)} < ${total}u) { ${store} }` : store;
  });
  const variables = `let ${name}_units = bufferView<array<${type}>>(&memory, 0);
${lines(units, (u) => `var ${name}_next${u} = ${type}(0u);`)}`;
  return { prepare, read, write, variables, pitch };
}

export function subgroupMatrix(
  product: Product,
  tile: MatrixTile,
  split: Split,
  target: Target,
): Step {
  const { a, b, m, n, k } = product;
  const unit = target.subgroupMatrix!;
  const invocations = matrixInvocations(tile);
  const vector = (side: Side, extent: number) => layout(side, extent, tile.k, product).vector;
  const parts = productParts(product, split, {
    a: groupsOf('a', vector(a, tile.m)),
    b: groupsOf('b', vector(b, tile.n)),
  });
  const depth = tile.k;
  const loadA = loader('a', product, { extent: tile.m, depth, invocations, start: 0 });
  const layoutA = layout(a, tile.m, depth, product);
  const startB = layoutA.count * layoutA.pitch * 2;
  const loadB = loader('b', product, { extent: tile.n, depth, invocations, start: startB });
  const [tilesM, tilesN] = [ceilDiv(m, tile.m), ceilDiv(n, tile.n)];
  /** What a subgroup computes, and in how many matrices. */
  const [rows, columns] = [tile.m / tile.down, tile.n / tile.across];
  const [downs, acrosses] = [rows / unit.m, columns / unit.n];
  const left = `subgroup_matrix_left<f16, ${unit.k}, ${unit.m}>`;
  const right = `subgroup_matrix_right<f16, ${unit.n}, ${unit.k}>`;
  const sum = `subgroup_matrix_result<f32, ${unit.n}, ${unit.m}>`;
  // Rows of `left` are rows of a; rows of `right` are k.
  const placeA = (i: number) =>
    a.along === 'k'
      ? `row_major>(halves, (row + ${i * unit.m}u) * ${loadA.pitch}u + kk, ${loadA.pitch}u)`
      : `col_major>(halves, kk * ${loadA.pitch}u + row + ${i * unit.m}u, ${loadA.pitch}u)`;
  const placeB = (j: number) =>
    b.along === 'row'
      ? `row_major>(halves, ${startB / 2}u + kk * ${loadB.pitch}u + column + ${j * unit.n}u, ${loadB.pitch}u)`
      : `col_major>(halves, ${startB / 2}u + (column + ${j * unit.n}u) * ${loadB.pitch}u + kk, ${loadB.pitch}u)`;
  const multiply = `for (var kk = 0u; kk < ${tile.k}u; kk += ${unit.k}u) {
${lines(downs, (i) => `let x${i} = subgroupMatrixLoad<${left}, ${placeA(i)};`)}
${lines(
  acrosses,
  (j) => `let y${j} = subgroupMatrixLoad<${right}, ${placeB(j)};
${lines(downs, (i) => `c${i}_${j} = subgroupMatrixMultiplyAccumulate(x${i}, y${j}, c${i}_${j});`)}`,
)}
}`;
  const loop = tileLoop(tile, loadA, loadB, multiply);
  const quads = (tile.down * unit.m * tile.n) / 4;
  // The memory of the tiles takes one row of matrices of each subgroup at a time: [down][rows of a matrix][n].
  const out = lines(
    downs,
    (i) => `workgroupBarrier();
${lines(acrosses, (j) => `subgroupMatrixStore<row_major>(floats, subgroup / ${tile.across}u * ${unit.m * tile.n}u + column + ${j * unit.n}u, c${i}_${j}, ${tile.n}u);`)}
workgroupBarrier();
for (var q = lane; q < ${quads}u; q += ${invocations}u) {
let line = q / ${tile.n / 4}u;
write(batch, part * ${product.batch * m * n}u, a0 + line / ${unit.m}u * ${rows}u + ${i * unit.m}u + line % ${unit.m}u, b0 + q % ${tile.n / 4}u * 4u, fours[q]);
}`,
  );
  const bytes = matrixTileBytes(product, tile, unit.m);
  return step(
    {
      name: `${product.name} ${matrixTileName(tile)}`,
      operands: parts.operands,
      enable: [
        'f16',
        'subgroups',
        'subgroup_size_control',
        'chromium_experimental_subgroup_matrix',
      ],
      directives: 'diagnostic(off, chromium.subgroup_matrix_uniformity);',
      declarations: `${parts.declarations}
var<workgroup> memory: buffer<${bytes}>;`,
      shared: bytes,
      invocations,
      attributes: `@subgroup_size(${subgroup})`,
      builtins: '@builtin(subgroup_id) subgroup: u32',
      groups: tilesM * tilesN * product.batch * split.parts,
      body: `let halves = bufferView<array<f16>>(&memory, 0);
let floats = bufferView<array<f32>>(&memory, 0);
let fours = bufferView<array<vec4f>>(&memory, 0);
${groupPlace(product, tilesM, tilesN)}
let a0 = tileRow * ${tile.m}u;
let b0 = tileColumn * ${tile.n}u;
let row = subgroup / ${tile.across}u * ${rows}u;
let column = subgroup % ${tile.across}u * ${columns}u;
${parts.setup}
${loadA.prepare}
${loadB.prepare}
${loadA.variables}
${loadB.variables}
${lines(downs, (i) => lines(acrosses, (j) => `var c${i}_${j}: ${sum};`))}
let first = part * ${split.length}u;
let last = min(first + ${split.length}u, ${k}u);
${loop}
${out}`,
      flops: 2 * product.batch * m * n * k,
    },
    target,
  );
}
