/** @file A product in tiles that a workgroup keeps in its memory and each invocation in its registers: the form for graphics processors. */
import type { Step, Target } from '../kernel.ts';
import {
  element,
  floats,
  fourRows,
  type Product,
  productParts,
  type Side,
  type Split,
  tileLoop,
} from './product.ts';
import { ceilDiv, lines, list, step } from './wgsl.ts';

/** Sizes of a workgroup's tile and of the part of it that an invocation computes; all but `k` multiples of four. */
export interface Tile {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly rows: number;
  readonly columns: number;
  /** The next tiles are read from memory while the present ones are multiplied. */
  readonly ahead: boolean;
}

export const invocationsOf = ({ m, n, rows, columns }: Tile): number => (m / rows) * (n / columns);
/** Fours of a row of a tile in workgroup memory: one more where they are written along k, so that writes fall into different banks. */
const pitch = (side: Side, extent: number): number => extent / 4 + (side.along === 'k' ? 1 : 0);
export const tileBytes = ({ a, b }: Pick<Product, 'a' | 'b'>, tile: Tile): number =>
  16 * tile.k * (pitch(a, tile.m) + pitch(b, tile.n));
export const tileName = (t: Tile): string =>
  `${t.m}x${t.n}x${t.k} ${t.rows}x${t.columns}${t.ahead ? ' ahead' : ''}`;

/** Reads one operand's tile: fours along the row axis, spread over the invocations so that neighbours read neighbours. */
function loader(
  name: 'a' | 'b',
  product: Product,
  { extent, tileK, invocations }: { extent: number; tileK: number; invocations: number },
) {
  const side = product[name];
  const limit = name === 'a' ? product.m : product.n;
  const wide = side.along === 'row' && side.vector >= 4;
  const quads = extent / 4;
  const units = ceilDiv(quads * tileK, invocations);
  const spare = units * invocations > quads * tileK;
  const byRow = side.along === 'row';
  const guardK = product.k % tileK !== 0;
  /** Unit u of this invocation: which four rows, and which k. */
  const quad = (u: number) =>
    byRow ? `lane % ${quads}u` : `lane / ${tileK}u + ${(u * invocations) / tileK}u`;
  const depth = (u: number) =>
    byRow ? `lane / ${quads}u + ${(u * invocations) / quads}u` : `lane % ${tileK}u`;
  const outerCount = byRow ? 1 : units;
  // Rows that are named by the first of four.
  const single = wide || (byRow && side.four !== undefined);
  const width = single ? 1 : 4;
  const prepare = lines(outerCount, (u) =>
    lines(width, (r) =>
      side.outer(
        `_${name}${u}${r}`,
        `min(${name}0 + (${quad(u)}) * 4u + ${r}u, ${single ? limit - 4 : limit - 1}u)`,
      ),
    ),
  );
  const read = lines(units, (u) => {
    const outer = (r: number) => `_${name}${byRow ? 0 : u}${r}`;
    const inner = `_${name}k${byRow ? u : 0}`;
    const k = `let k${inner} = k0 + ${depth(u)}; ${side.inner(inner, `k${inner}`)}`;
    const within = guardK ? `k${inner} < ${product.k}u` : undefined;
    const value = wide
      ? element(name, side, outer(0), inner, within)
      : `vec4f(${byRow ? fourRows(name, side, [0, 1, 2, 3].map(outer), inner, within) : list(4, (r) => element(name, side, outer(r), inner, within))})`;
    return `${byRow || u === 0 ? k : ''} ${name}_next${u} = ${value};`;
  });
  const write = lines(units, (u) => {
    const store = `tile_${name}[(${depth(u)}) * ${pitch(side, extent)}u + ${quad(u)}] = ${name}_next${u};`;
    return spare ? `if (${u * invocations}u + lane < ${quads * tileK}u) { ${store} }` : store;
  });
  const variables = lines(units, (u) => `var ${name}_next${u} = vec4f(0);`);
  return { prepare, read, write, variables };
}

export function tiled(product: Product, tile: Tile, split: Split, target: Target): Step {
  const { a, b, m, n, k } = product;
  const invocations = invocationsOf(tile);
  const wide = (side: Side): 1 | 4 => (side.along === 'row' && side.vector >= 4 ? 4 : 1);
  const parts = productParts(product, split, {
    a: floats('a', a, wide(a)),
    b: floats('b', b, wide(b)),
  });
  const loadA = loader('a', product, { extent: tile.m, tileK: tile.k, invocations });
  const loadB = loader('b', product, { extent: tile.n, tileK: tile.k, invocations });
  const [tilesM, tilesN] = [ceilDiv(m, tile.m), ceilDiv(n, tile.n)];
  const [pitchA, pitchB] = [pitch(a, tile.m), pitch(b, tile.n)];
  const across = tile.n / tile.columns;
  const [quadsM, quadsN] = [tile.rows / 4, tile.columns / 4];
  const rowQuad = (i: number) => `down + ${i * (tile.m / tile.rows)}u`;
  const columnQuad = (j: number) => `along + ${j * across}u`;
  const sums = lines(tile.rows, (r) => lines(quadsN, (j) => `var c${r}_${j} = vec4f(0);`));
  const multiply = `for (var kk = 0u; kk < ${tile.k}u; kk++) {
${lines(quadsM, (i) => `let x${i} = tile_a[kk * ${pitchA}u + ${rowQuad(i)}];`)}
${lines(quadsN, (j) => `let y${j} = tile_b[kk * ${pitchB}u + ${columnQuad(j)}];`)}
${lines(tile.rows, (r) =>
  lines(
    quadsN,
    (j) => `c${r}_${j} = fma(vec4f(x${Math.floor(r / 4)}.${'xyzw'[r % 4]}), y${j}, c${r}_${j});`,
  ),
)}
}`;
  const loop = tileLoop(tile, loadA, loadB, multiply);
  const groups = tilesM * tilesN * product.batch * split.parts;
  return step(
    {
      name: `${product.name} ${tileName(tile)}`,
      operands: parts.operands,
      declarations: `${parts.declarations}
var<workgroup> tile_a: array<vec4f, ${tile.k * pitchA}>;
var<workgroup> tile_b: array<vec4f, ${tile.k * pitchB}>;`,
      shared: tileBytes(product, tile),
      invocations,
      groups,
      body: `${groupPlace(product, tilesM, tilesN)}
let a0 = tileRow * ${tile.m}u;
let b0 = tileColumn * ${tile.n}u;
${parts.setup}
let along = lane % ${across}u;
let down = lane / ${across}u;
${loadA.prepare}
${loadB.prepare}
${loadA.variables}
${loadB.variables}
${sums}
let first = part * ${split.length}u;
let last = min(first + ${split.length}u, ${k}u);
${loop}
${lines(tile.rows, (r) =>
  lines(
    quadsN,
    (j) =>
      `write(batch, part * ${product.batch * m * n}u, a0 + (${rowQuad(Math.floor(r / 4))}) * 4u + ${r % 4}u, b0 + (${columnQuad(j)}) * 4u, c${r}_${j});`,
  ),
)}`,
      flops: 2 * product.batch * m * n * k,
    },
    target,
  );
}

/** Tiles of eight rows of tiles follow each other down, so that workgroups that run together read the same columns from the cache. */
export function groupPlace(product: Product, tilesM: number, tilesN: number): string {
  const perMatrix = tilesM * tilesN;
  const band = Math.min(8, tilesM);
  return `let inMatrix = id % ${perMatrix}u;
let matrix = id / ${perMatrix}u;
let batch = matrix % ${product.batch}u;
let part = matrix / ${product.batch}u;
let band = inMatrix / ${band * tilesN}u;
let bandRows = min(${band}u, ${tilesM}u - band * ${band}u);
let inBand = inMatrix % ${band * tilesN}u;
let tileRow = band * ${band}u + inBand % bandRows;
let tileColumn = inBand / bandRows;`;
}
