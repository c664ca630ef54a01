/** @file A product by subgroups that pass rows on by broadcasts: the form for devices that compute on the processor, where workgroup memory and barriers are dear. */
import type { Step, Target } from '../kernel.ts';
import { element, floats, fourRows, type Product, productParts, type Split } from './product.ts';
import { ceilDiv, lines, list, step } from './wgsl.ts';

/** `size`: invocations of a subgroup, which are a workgroup; each holds `groups` rows of four k of `a` and owns four columns. */
export interface BroadcastForm {
  readonly size: number;
  readonly groups: number;
}

/** k that one round takes. */
export const broadcastK = 4;

export function broadcast(
  product: Product,
  { size, groups }: BroadcastForm,
  split: Split,
  target: Target,
): Step {
  const { a, b, m, n, k } = product;
  const rows = size * groups;
  const [wideA, wideB] = [
    a.along === 'k' && a.vector >= 4 && k % 4 === 0,
    b.along === 'row' && b.vector >= 4,
  ];
  // Columns that are named by the first of four.
  const single = wideB || b.four !== undefined;
  const parts = productParts(product, split, {
    a: floats('a', a, wideA ? 4 : 1),
    b: floats('b', b, wideB ? 4 : 1),
  });
  const [tilesM, tilesN] = [ceilDiv(m, rows), ceilDiv(n, 4 * size)];
  const guardK = k % 4 !== 0;
  const within = (step: number) => (guardK ? `k + ${step}u < ${k}u` : undefined);
  const readA = (g: number) =>
    wideA
      ? element('a', a, `_a${g}`, '_ka0')
      : `vec4f(${list(4, (q) => element('a', a, `_a${g}`, `_ka${q}`, within(q)))})`;
  const readB = (q: number) =>
    wideB
      ? element('b', b, '_b0', `_kb${q}`, within(q))
      : `vec4f(${fourRows(
          'b',
          b,
          [0, 1, 2, 3].map((c) => `_b${c}`),
          `_kb${q}`,
          within(q),
        )})`;
  const total = product.batch * tilesM * tilesN * split.parts;
  return step(
    {
      name: `${product.name} broadcast ${rows}x${4 * size}`,
      operands: parts.operands,
      enable: ['subgroups'],
      declarations: parts.declarations,
      invocations: size,
      groups: total,
      body: `let tileColumn = id % ${tilesN}u;
let tileRow = id / ${tilesN}u % ${tilesM}u;
let batch = id / ${tilesN * tilesM}u % ${product.batch}u;
let part = id / ${tilesN * tilesM * product.batch}u;
${parts.setup}
let row = tileRow * ${rows}u;
let column = tileColumn * ${4 * size}u + 4u * lane;
${lines(groups, (g) => a.outer(`_a${g}`, `min(row + ${g * size}u + lane, ${m - 1}u)`))}
${lines(single ? 1 : 4, (c) => b.outer(`_b${c}`, `min(column + ${c}u, ${single ? n - 4 : n - 1}u)`))}
${lines(rows, (i) => `var c${i} = vec4f(0);`)}
let first = part * ${split.length}u;
let last = min(first + ${split.length}u, ${k}u);
for (var k = first; k < last; k += 4u) {
${lines(wideA ? 1 : 4, (q) => a.inner(`_ka${q}`, `(k + ${q}u)`))}
${lines(groups, (g) => `let a${g} = ${readA(g)};`)}
${lines(
  4,
  (q) => `{ ${b.inner(`_kb${q}`, `(k + ${q}u)`)} let y = ${readB(q)};
${lines(rows, (i) => `c${i} = fma(vec4f(subgroupBroadcast(a${Math.floor(i / size)}.${'xyzw'[q]}, ${i % size}u)), y, c${i});`)} }`,
)}
}
var sums = array<vec4f, ${rows}>(${list(rows, (i) => `c${i}`)});
for (var i = 0u; i < ${rows}u; i++) { write(batch, part * ${product.batch * m * n}u, row + i, column, sums[i]); }`,
      flops: 2 * product.batch * m * n * k,
    },
    target,
  );
}
