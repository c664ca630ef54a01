/** @file Attention in tiles of rows and columns that a workgroup keeps in its memory, with sums in registers: the form for graphics processors. */
import type { Step, Target } from '../kernel.ts';
import { address, type AttentionShape, type Pass, passFlops, rolesOf } from './attention.ts';
import { asFloat, asStored, ceilDiv, lines, list, type Operand, step } from './wgsl.ts';

/** Rows and columns of a tile of scores, of which every invocation computes 4x4; `depth`: of a head's dimensions that are multiplied at a time. */
interface AttentionTile {
  readonly side: number;
  readonly depth: number;
  /** Columns whose values are in workgroup memory at a time. */
  readonly chunk: number;
}

const across = ({ side }: AttentionTile): number => side / 4;
/** Fours: tiles of rows and columns for scores, or of values; weights; and what invocations tell each other of their rows. */
function memoryOf({ side, depth, chunk }: AttentionTile, dim: number) {
  const pitch = side / 4 + 1;
  return {
    pitch,
    tiles: Math.max(2 * depth * pitch, ceilDiv(chunk * dim, 4)),
    weights: side * pitch,
    shares: (side * side) / 16,
  };
}
const bytesOf = (tile: AttentionTile, dim: number): number => {
  const { tiles, weights, shares } = memoryOf(tile, dim);
  return 16 * (tiles + weights + shares);
};

/** The largest tile within a device's limits; none where a head is too wide for any. */
export function attentionTile(
  { dim, valueDim }: AttentionShape,
  { workgroupSize, workgroupStorage }: Target,
): AttentionTile | undefined {
  const widest = Math.max(dim, valueDim);
  for (const side of [64, 32])
    for (const chunk of [32, 16, 8, 4]) {
      const tile = { side, depth: 16, chunk };
      if (across(tile) ** 2 <= workgroupSize && bytesOf(tile, widest) <= workgroupStorage)
        return tile;
    }
  return undefined;
}

export function tiledAttention(
  pass: Pass,
  shape: AttentionShape,
  operands: readonly Operand[],
  target: Target,
): Step {
  const { batch, heads, dim, valueDim, scale, causal } = shape;
  const tile = attentionTile(shape, target)!;
  const { side, depth, chunk } = tile;
  const wide = across(tile);
  const invocations = wide * wide;
  const memory = memoryOf(tile, Math.max(dim, valueDim));
  const { pitch } = memory;
  const roles = rolesOf(pass, shape);
  const { rows, columns, row, column, rowValue, columnValue, usesValues, results } = roles;
  const online = pass === 'forward' || pass === 'statistics';
  const perHead = ceilDiv(rows, side);
  const storageOf = (name: string) => operands.find((o) => o.name === name)!.storage;
  const place = (of: 'row' | 'column', d: number, at: string, j: string) =>
    address(shape, { length: of === 'row' ? rows : columns, dim: d }, at, j);
  const statistic = (name: string, query: string) =>
    `${name}[(batch * ${heads}u + head) * ${shape.queries}u + ${query}]`;

  /** Fours of rows (or columns) by `depth` of a head's dimensions from d0 on, with neighbours along the dimensions; zeros beyond the last. */
  const loadTile = (name: string, of: 'row' | 'column', d: number, start: number) => {
    const [origin, limit] = of === 'row' ? ['r0', rows] : ['c0', columns];
    const value = (r: number) => {
      const at = place(
        of,
        d,
        `min(${origin} + quad * 4u + ${r}u, ${limit - 1}u)`,
        `min(j, ${d - 1}u)`,
      );
      const read = asFloat(storageOf(name), `${name}[${at}]`);
      return d % depth === 0 ? read : `select(0.0, ${read}, j < ${d}u)`;
    };
    return `for (var u = lane; u < ${(side / 4) * depth}u; u += ${invocations}u) {
let kk = u % ${depth}u; let quad = u / ${depth}u; let j = d0 + kk;
tiles[${start}u + kk * ${pitch}u + quad] = vec4f(${list(4, value)});
}`;
  };
  /** Products of all rows with all columns, into four vectors. */
  const products = (
    ours: string,
    theirs: string,
    d: number,
    into: string,
  ) => `${lines(4, (r) => `var ${into}${r} = vec4f(0);`)}
for (var d0 = 0u; d0 < ${d}u; d0 += ${depth}u) {
workgroupBarrier();
${loadTile(ours, 'row', d, 0)}
${loadTile(theirs, 'column', d, depth * pitch)}
workgroupBarrier();
for (var kk = 0u; kk < ${depth}u; kk++) {
let x = tiles[kk * ${pitch}u + down]; let y = tiles[${depth * pitch}u + kk * ${pitch}u + along];
${lines(4, (r) => `${into}${r} = fma(vec4f(x.${'xyzw'[r]}), y, ${into}${r});`)}
}
}`;
  /** Each row's number of all invocations that share it, put together. */
  const shared = (
    value: (r: number) => string,
    combine: (a: string, b: string) => string,
    into: string,
  ) => `workgroupBarrier();
shares[along * ${wide}u + down] = vec4f(${list(4, value)});
workgroupBarrier();
var ${into} = shares[down];
for (var i = 1u; i < ${wide}u; i++) { ${into} = ${combine(into, `shares[i * ${wide}u + down]`)}; }`;
  const perInvocation = (d: number) => ceilDiv(d, wide);
  /** Adds the columns' vectors, weighted, to a result: invocation `along` has elements along, along + wide, ... of its four rows. */
  const accumulate = ({ name, weight, dim: d }: (typeof results)[number]) => {
    const count = perInvocation(d);
    const spot = (i: number) => `min(along + ${i * wide}u, ${d - 1}u)`;
    const vector = (t: number, i: number) => `numbers_at((c + ${t}u) * ${d}u + ${spot(i)})`;
    return `workgroupBarrier();
${lines(4, (r) => `weights[(down * 4u + ${r}u) * ${pitch}u + along] = ${weight}${r};`)}
for (var v0 = 0u; v0 < ${side}u; v0 += ${chunk}u) {
workgroupBarrier();
for (var u4 = lane; u4 < ${ceilDiv(chunk * d, 4)}u; u4 += ${invocations}u) {
${lines(4, (e) => `let e${e} = element_${name}(batch, head, c0 + v0, u4 * 4u + ${e}u);`)}
tiles[u4] = vec4f(${list(4, (e) => `e${e}`)});
}
workgroupBarrier();
for (var c = 0u; c < ${chunk}u; c += 4u) {
${lines(4, (r) => `let w${r} = weights[(down * 4u + ${r}u) * ${pitch}u + (v0 + c) / 4u];`)}
${lines(4, (t) =>
  lines(
    count,
    (i) => `{ let y = ${vector(t, i)};
${lines(4, (r) => `sum_${name}${i}[${r}] = fma(w${r}.${'xyzw'[t]}, y, sum_${name}${i}[${r}]);`)} }`,
  ),
)}
}
}`;
  };
  const elements = results
    .map(
      ({ name, of, dim: d }) =>
        `fn element_${name}(batch: u32, head: u32, first: u32, u: u32) -> f32 { return ${asFloat(storageOf(of), `${of}[${place('column', d, `min(first + u / ${d}u, ${columns - 1}u)`, `u % ${d}u`)}]`)}; }`,
    )
    .join('\n');
  const hidden = (r: number) =>
    `vec4<bool>(${list(4, (c) => {
      const at = `c0 + along * 4u + ${c}u`;
      const ours = `r0 + down * 4u + ${r}u`;
      const beyond = `${at} >= ${columns}u`;
      return causal ? `${beyond} || ${at} ${roles.ofQueries ? '>' : '<'} ${ours}` : beyond;
    })})`;
  const masked = lines(
    4,
    (r) => `let s${r} = select(raw${r} * ${scale}, vec4f(-1e30), ${hidden(r)});`,
  );
  const largest = (r: number) => `max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w))`;
  const weigh = online
    ? `${shared(largest, (a, b) => `max(${a}, ${b})`, 'top')}
top = max(most, top);
let shrink = exp(most - top);
most = top;
${lines(4, (r) => `let p${r} = exp(s${r} - vec4f(top[${r}]));`)}
whole = fma(whole, shrink, vec4f(${list(4, (r) => `dot(p${r}, vec4f(1))`)}));
${results.map(({ name, dim: d }) => lines(perInvocation(d), (i) => `sum_${name}${i} *= shrink;`)).join('\n')}`
    : roles.ofQueries
      ? `${lines(4, (r) => `let p${r} = exp(s${r} - vec4f(own_sums[${r}]));`)}`
      : `let sums_c = vec4f(${list(4, (c) => statistic('sums', `min(c0 + along * 4u + ${c}u, ${columns - 1}u)`))});
let deltas_c = vec4f(${list(4, (c) => statistic('deltas', `min(c0 + along * 4u + ${c}u, ${columns - 1}u)`))});
${lines(4, (r) => `let p${r} = exp(s${r} - sums_c);`)}`;
  const gradients = usesValues
    ? `${products(rowValue, columnValue, valueDim, 'dp')}
${lines(4, (r) => `let ds${r} = p${r} * (dp${r} - ${roles.ofQueries ? `vec4f(own_deltas[${r}])` : 'deltas_c'}) * ${scale};`)}`
    : '';
  const own = (name: string) =>
    `let own_${name} = vec4f(${list(4, (r) => statistic(name, `min(r0 + down * 4u + ${r}u, ${rows - 1}u)`))});`;
  const [begin, end] = causal
    ? roles.ofQueries
      ? ['0u', `min(${columns}u, r0 + ${side}u)`]
      : ['r0', `${columns}u`]
    : ['0u', `${columns}u`];
  const write = results
    .map(({ name, dim: d }) =>
      lines(perInvocation(d), (i) =>
        lines(
          4,
          (r) =>
            `if (r0 + down * 4u + ${r}u < ${rows}u && along + ${i * wide}u < ${d}u) { ${name}[${place('row', d, `r0 + down * 4u + ${r}u`, `along + ${i * wide}u`)}] = ${asStored(storageOf(name), `sum_${name}${i}[${r}]${online ? ` / all[${r}]` : ''}`)}; }`,
        ),
      ),
    )
    .join('\n');
  return step(
    {
      name: `attention ${pass} ${side}x${side}`,
      operands,
      declarations: `var<workgroup> tiles: array<vec4f, ${memory.tiles}>;
var<workgroup> weights: array<vec4f, ${memory.weights}>;
var<workgroup> shares: array<vec4f, ${memory.shares}>;
fn numbers_at(i: u32) -> f32 { return tiles[i / 4u][i % 4u]; }
${elements}`,
      shared: bytesOf(tile, Math.max(dim, valueDim)),
      invocations,
      groups: batch * heads * perHead,
      body: `let r0 = id % ${perHead}u * ${side}u;
let head = id / ${perHead}u % ${heads}u;
let batch = id / ${perHead * heads}u;
let along = lane % ${wide}u;
let down = lane / ${wide}u;
${usesValues && roles.ofQueries ? `${own('sums')} ${own('deltas')}` : ''}
${results.map(({ name, dim: d }) => lines(perInvocation(d), (i) => `var sum_${name}${i} = vec4f(0);`)).join('\n')}
var most = vec4f(-1e30);
var whole = vec4f(0);
for (var c0 = ${begin}; c0 < ${end}; c0 += ${side}u) {
${products(row, column, dim, 'raw')}
${masked}
${weigh}
${gradients}
${results.map(accumulate).join('\n')}
}
${
  online
    ? shared(
        (r) => `whole[${r}]`,
        (a, b) => `${a} + ${b}`,
        'all',
      )
    : ''
}
${write}
${
  pass === 'statistics'
    ? `let logs = most + log(all);
${lines(4, (r) => `if (along == 0u && r0 + down * 4u + ${r}u < ${rows}u) { ${statistic('sums', `r0 + down * 4u + ${r}u`)} = logs[${r}]; }`)}`
    : ''
}`,
      flops: passFlops(pass, shape),
    },
    target,
  );
}
