/** @file A product by subgroups that pass rows on by broadcasts: the form for devices that compute on the processor, where workgroup memory and barriers are dear. */
import type { Step, Target } from '../kernel.ts';
import { element, floats, type Product, productParts, type Split } from './product.ts';
import { asStored, ceilDiv, finish, lines, list, step } from './wgsl.ts';

/** `size`: invocations of a subgroup, which are a workgroup; each holds `groups` rows of four k of `a` and owns `columns` columns, `size` apart, so that neighbours read neighbours. */
export interface BroadcastForm {
  readonly size: number;
  readonly groups: number;
  readonly columns: number;
}

/** k that one round takes. */
export const broadcastK = 4;

export function broadcast(
  product: Product,
  { size, groups, columns }: BroadcastForm,
  split: Split,
  target: Target,
): Step {
  const { a, b, m, n, k, epilogue } = product;
  const [rows, across] = [size * groups, size * columns];
  const wideA = a.along === 'k' && a.vector >= 4 && k % 4 === 0;
  const out = { ...product.out, quads: false };
  const parts = productParts({ ...product, out }, split, {
    a: floats('a', a, wideA ? 4 : 1),
    b: floats('b', b, 1),
  });
  const [tilesM, tilesN] = [ceilDiv(m, rows), ceilDiv(n, across)];
  const within = (q: number) => (k % 4 === 0 ? undefined : `k + ${q}u < ${k}u`);
  const readA = (g: number) =>
    wideA
      ? element('a', a, `_a${g}`, '_ka0')
      : `vec4f(${list(4, (q) => element('a', a, `_a${g}`, `_ka${q}`, within(q)))})`;
  const whole = split.parts === 1;
  const value = whole ? finish(epilogue, 'sums[i]', 'at') : 'sums[i]';
  const sums = rows * columns;
  return step(
    {
      name: `${product.name} broadcast ${rows}x${across}`,
      operands: parts.operands,
      enable: ['subgroups'],
      declarations: parts.reads,
      invocations: size,
      groups: product.batch * tilesM * tilesN * split.parts,
      body: `let tileColumn = id % ${tilesN}u;
let tileRow = id / ${tilesN}u % ${tilesM}u;
let batch = id / ${tilesN * tilesM}u % ${product.batch}u;
let part = id / ${tilesN * tilesM * product.batch}u;
${parts.setup}
let row = tileRow * ${rows}u;
let column = tileColumn * ${across}u + lane;
${lines(groups, (g) => a.outer(`_a${g}`, `min(row + ${g * size}u + lane, ${m - 1}u)`))}
${lines(columns, (c) => b.outer(`_b${c}`, `min(column + ${c * size}u, ${n - 1}u)`))}
${lines(rows, (i) => lines(columns, (c) => `var c${i}_${c} = 0.0;`))}
// All that a round reads comes first: read between products, it would be put together in memory, lane by lane.
let first = part * ${split.length}u;
let last = min(first + ${split.length}u, ${k}u);
for (var k = first; k < last; k += ${broadcastK}u) {
${lines(wideA ? 1 : 4, (q) => a.inner(`_ka${q}`, `(k + ${q}u)`))}
${lines(groups, (g) => `let a${g} = ${readA(g)};`)}
${lines(
  4,
  (q) => `${b.inner(`_kb${q}`, `(k + ${q}u)`)}
${lines(columns, (c) => `let y${q}_${c} = ${element('b', b, `_b${c}`, `_kb${q}`, within(q))};`)}`,
)}
${lines(4, (q) =>
  lines(
    rows,
    (i) => `{ let x = subgroupBroadcast(a${Math.floor(i / size)}.${'xyzw'[q]}, ${i % size}u);
${lines(columns, (c) => `c${i}_${c} = fma(x, y${q}_${c}, c${i}_${c});`)} }`,
  ),
)}
}
var sums = array<f32, ${sums}>(${list(sums, (i) => `c${Math.floor(i / columns)}_${i % columns}`)});
// A number that a compiler does not know: software drivers would unroll the loop, and take seconds for all that it writes.
let count = min(${sums}u, arrayLength(&a) * ${sums}u);
for (var i = 0u; i < count; i++) {
let down = row + i / ${columns}u;
let along = column + i % ${columns}u * ${size}u;
if (down < ${m}u && along < ${n}u) {
let at = ${product.out.address('down', 'along')};
result[${whole ? '' : `part * ${product.batch * m * n}u + `}at] = ${asStored(whole ? product.out.storage : 'f32', value)};
}
}`,
      flops: 2 * product.batch * m * n * k,
    },
    target,
  );
}
