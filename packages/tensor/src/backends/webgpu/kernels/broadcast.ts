/** @file A product by subgroups that pass rows on by broadcasts: the form for devices that compute on the processor, where workgroup memory and barriers are dear. */
import type { Step, Target } from '../kernel.ts';
import { element, floats, fourRows, type Product, productParts, type Split } from './product.ts';
import { asStored, ceilDiv, finish, lines, list, step } from './wgsl.ts';

/** `size`: invocations of a subgroup, which are a workgroup; together they hold `groups` times as many rows of four k of `a`, and each owns `columns` columns. */
export interface BroadcastForm {
  readonly size: number;
  readonly groups: number;
  readonly columns: number;
}

/** k that one round takes. */
export const broadcastK = 4;
const part = (i: number): string => 'xyzw'[i % 4]!;

/** How `a` is read and passed on: WGSL before the loop, of a round's reads, and the element of row `i` at the round's k number `q`. */
interface Rows {
  readonly prepare: string;
  readonly read: string;
  readonly at: (i: number, q: number) => string;
}

function rowsOf({ a, m, k }: Product, { size, groups }: BroadcastForm): Rows {
  const rows = size * groups;
  const broadcast = (t: number, component: string) =>
    `subgroupBroadcast(a${Math.floor(t / size)}.${component}, ${t % size}u)`;
  const within = (depth: string) => (k % broadcastK === 0 ? undefined : `${depth} < ${k}u`);
  if (a.along === 'row' && a.vector >= 4 && rows % 4 === 0) {
    // Each invocation reads four rows at one k: number t of them has the rows t mod (rows / 4).
    const quads = rows / 4;
    const number = (g: number) => `(lane + ${g * size}u)`;
    return {
      prepare: lines(groups, (g) =>
        a.outer(`_a${g}`, `min(row + ${number(g)} % ${quads}u * 4u, ${m - 4}u)`),
      ),
      read: lines(groups, (g) => {
        const depth = `(k + ${number(g)} / ${quads}u)`;
        return `${a.inner(`_ka${g}`, depth)} let a${g} = ${element('a', a, `_a${g}`, `_ka${g}`, within(depth))};`;
      }),
      at: (i, q) => broadcast(q * quads + Math.floor(i / 4), part(i)),
    };
  }
  const wide = wideDepth(a, k);
  const value = (g: number) =>
    wide
      ? element('a', a, `_a${g}`, '_ka0')
      : `vec4f(${list(4, (q) => element('a', a, `_a${g}`, `_ka${q}`, within(`k + ${q}u`)))})`;
  return {
    prepare: lines(groups, (g) => a.outer(`_a${g}`, `min(row + ${g * size}u + lane, ${m - 1}u)`)),
    read: `${lines(wide ? 1 : 4, (q) => a.inner(`_ka${q}`, `(k + ${q}u)`))}
${lines(groups, (g) => `let a${g} = ${value(g)};`)}`,
    at: (i, q) => broadcast(i, part(q)),
  };
}

/** Whether four k of a row are read at once. */
const wideDepth = (side: Product['a'], k: number): boolean =>
  side.along === 'k' && side.vector >= 4 && k % 4 === 0;
/** Whether an invocation owns columns by fours that are read together. */
export const ownsFours = ({ b }: Product, columns: number): boolean =>
  columns % 4 === 0 && b.along === 'row' && (b.vector >= 4 || b.four !== undefined);

/** How `b` is read: WGSL before the loop, of a round's reads, and the element of the invocation's column `c` at k number `q`. */
interface Columns {
  readonly prepare: string;
  readonly read: string;
  readonly at: (c: number, q: number) => string;
}

function columnsOf(product: Product, { size, columns }: BroadcastForm): Columns {
  const { b, n, k } = product;
  const within = (q: number) => (k % broadcastK === 0 ? undefined : `k + ${q}u < ${k}u`);
  if (ownsFours(product, columns)) {
    const quads = columns / 4;
    const value = (v: number, q: number) =>
      b.vector >= 4
        ? element('b', b, `_b${v}`, `_kb${q}`, within(q))
        : `vec4f(${fourRows('b', b, [`_b${v}`], `_kb${q}`, within(q))})`;
    return {
      prepare: lines(quads, (v) => b.outer(`_b${v}`, `min(column + ${v * 4 * size}u, ${n - 4}u)`)),
      read: lines(
        broadcastK,
        (q) => `${b.inner(`_kb${q}`, `(k + ${q}u)`)}
${lines(quads, (v) => `let y${q}_${v} = ${value(v, q)};`)}`,
      ),
      at: (c, q) => `y${q}_${Math.floor(c / 4)}.${part(c)}`,
    };
  }
  const prepare = lines(columns, (c) => b.outer(`_b${c}`, `min(column + ${c * size}u, ${n - 1}u)`));
  if (wideDepth(b, k))
    return {
      prepare,
      read: `${b.inner('_kb', 'k')}
${lines(columns, (c) => `let y${c} = ${element('b', b, `_b${c}`, '_kb')};`)}`,
      at: (c, q) => `y${c}.${part(q)}`,
    };
  return {
    prepare,
    read: lines(
      broadcastK,
      (q) => `${b.inner(`_kb${q}`, `(k + ${q}u)`)}
${lines(columns, (c) => `let y${q}_${c} = ${element('b', b, `_b${c}`, `_kb${q}`, within(q))};`)}`,
    ),
    at: (c, q) => `y${q}_${c}`,
  };
}

export function broadcast(
  product: Product,
  form: BroadcastForm,
  split: Split,
  target: Target,
): Step {
  const { size, groups, columns } = form;
  const { a, b, m, n, k } = product;
  const [rows, across] = [size * groups, size * columns];
  const fours = ownsFours(product, columns);
  const wideA = wideDepth(a, k) || (a.along === 'row' && a.vector >= 4 && rows % 4 === 0);
  const wideB = fours ? b.vector >= 4 : wideDepth(b, k);
  const out = { ...product.out, quads: fours && product.out.quads };
  const parts = productParts({ ...product, out }, split, {
    a: floats('a', a, wideA ? 4 : 1),
    b: floats('b', b, wideB ? 4 : 1),
  });
  const [ofA, ofB] = [rowsOf(product, form), columnsOf(product, form)];
  const [tilesM, tilesN] = [ceilDiv(m, rows), ceilDiv(n, across)];
  return step(
    {
      name: `${product.name} broadcast ${rows}x${across}`,
      operands: parts.operands,
      enable: ['subgroups'],
      declarations: fours ? parts.declarations : parts.reads,
      invocations: size,
      groups: product.batch * tilesM * tilesN * split.parts,
      body: `let tileColumn = id % ${tilesN}u;
let tileRow = id / ${tilesN}u % ${tilesM}u;
let batch = id / ${tilesN * tilesM}u % ${product.batch}u;
let part = id / ${tilesN * tilesM * product.batch}u;
${parts.setup}
let row = tileRow * ${rows}u;
let column = tileColumn * ${across}u + lane${fours ? ' * 4u' : ''};
${ofA.prepare}
${ofB.prepare}
${lines(rows, (i) => lines(columns, (c) => `var c${i}_${c} = 0.0;`))}
// All that a round reads comes first: read between products, it would be put together in memory, lane by lane.
let first = part * ${split.length}u;
let last = min(first + ${split.length}u, ${k}u);
for (var k = first; k < last; k += ${broadcastK}u) {
${ofA.read}
${ofB.read}
${lines(broadcastK, (q) =>
  lines(
    rows,
    (i) => `{ let x = ${ofA.at(i, q)};
${lines(columns, (c) => `c${i}_${c} = fma(x, ${ofB.at(c, q)}, c${i}_${c});`)} }`,
  ),
)}
}
${(fours ? writeFours : writeSingle)(product, form, split)}`,
      flops: 2 * product.batch * m * n * k,
    },
    target,
  );
}

/** A number of rounds that a compiler does not know: software drivers would unroll the loop, and take seconds for all that it writes. */
const rounds = (count: number): string =>
  `let count = min(${count}u, arrayLength(&a) * ${count}u);
for (var i = 0u; i < count; i++) {`;

function writeFours({ batch, m, n }: Product, { size, groups, columns }: BroadcastForm): string {
  const [rows, quads] = [size * groups, columns / 4];
  const sum = (i: number) =>
    `vec4f(${list(4, (c) => `c${Math.floor(i / quads)}_${(i % quads) * 4 + c}`)})`;
  return `var sums = array<vec4f, ${rows * quads}>(${list(rows * quads, sum)});
${rounds(rows * quads)}
write(batch, part * ${batch * m * n}u, row + i / ${quads}u, column + i % ${quads}u * ${4 * size}u, sums[i]);
}`;
}

function writeSingle(
  { batch, m, n, out, epilogue }: Product,
  { size, groups, columns }: BroadcastForm,
  split: Split,
): string {
  const whole = split.parts === 1;
  const value = whole ? finish(epilogue, 'sums[i]', 'at') : 'sums[i]';
  const sums = size * groups * columns;
  return `var sums = array<f32, ${sums}>(${list(sums, (i) => `c${Math.floor(i / columns)}_${i % columns}`)});
${rounds(sums)}
let down = row + i / ${columns}u;
let along = column + i % ${columns}u * ${size}u;
if (down < ${m}u && along < ${n}u) {
let at = ${out.address('down', 'along')};
result[${whole ? '' : `part * ${batch * m * n}u + `}at] = ${asStored(whole ? out.storage : 'f32', value)};
}
}`;
}
