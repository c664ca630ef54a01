/** @file Attention with one invocation for each row: the plain form, and the one for devices that compute on the processor, where what a workgroup reads in common is cheap. */
import type { Step, Target } from '../kernel.ts';
import { address, type AttentionShape, type Pass, passFlops, rolesOf } from './attention.ts';
import { asFloat, asStored, ceilDiv, lines, list, type Operand, step } from './wgsl.ts';

/** A length that a compiler does not know: software drivers would unroll loops over it, and take minutes to compile them. */
const count = (length: number): string => `min(${length}u, arrayLength(&q))`;
/** Columns that are gone through together. */
const together = 4;

export function serialAttention(
  pass: Pass,
  shape: AttentionShape,
  operands: readonly Operand[],
  target: Target,
): Step {
  const { batch, heads, dim, valueDim, scale, causal } = shape;
  const roles = rolesOf(pass, shape);
  const { rows, columns, row, column, rowValue, columnValue, usesValues, results } = roles;
  const invocations = target.kind === 'software' ? 8 : Math.min(64, target.workgroupSize);
  const perHead = ceilDiv(rows, invocations);
  const storageOf = (name: string) => operands.find((o) => o.name === name)!.storage;
  const read = (name: string, at: string) => asFloat(storageOf(name), `${name}[${at}]`);
  const place = (side: 'row' | 'column', d: number, at: string, j: string) =>
    address(shape, { length: side === 'row' ? rows : columns, dim: d }, at, j);
  const statistic = (name: string, query: string) =>
    `${name}[(batch * ${heads}u + head) * ${shape.queries}u + ${query}]`;
  const each = (line: (c: number) => string) => lines(together, line);
  const spot = (c: number) => `min(c0 + ${c}u, ${columns - 1}u)`;
  /** A column beyond the last, or masked for this row. */
  const hidden = (c: number) =>
    `c0 + ${c}u >= ${columns}u${causal ? (roles.ofQueries ? ` || c0 + ${c}u > row` : ` || c0 + ${c}u < row`) : ''}`;
  const dots = (
    own: string,
    name: string,
    d: number,
    sum: string,
  ) => `${each((c) => `let start_${sum}${c} = ${place('column', d, spot(c), '0u')};`)}
var ${sum} = vec4f(0);
for (var j = 0u; j < ${count(d)}; j++) { ${sum} = fma(vec4f(${own}[j]), vec4f(${list(together, (c) => read(name, `start_${sum}${c} + j`))}), ${sum}); }`;
  const online = pass === 'forward' || pass === 'statistics';
  const weights = online
    ? `let top = max(most, max(max(s.x, s.y), max(s.z, s.w)));
let shrink = exp(most - top);
most = top;
let p = exp(s - vec4f(top));
whole = fma(whole, shrink, p.x + p.y + p.z + p.w);`
    : `let sums_c = vec4f(${list(together, (c) => statistic('sums', roles.ofQueries ? 'row' : spot(c)))});
let deltas_c = vec4f(${list(together, (c) => statistic('deltas', roles.ofQueries ? 'row' : spot(c)))});
let p = exp(s - sums_c);
${dots('own_value', columnValue, valueDim, 'dp')}
let ds = p * (dp - deltas_c) * ${scale};`;
  const accumulate = results
    .map(
      ({ name, of, weight, dim: d }) => `{
${each((c) => `let start${c} = ${place('column', d, spot(c), '0u')};`)}
for (var j = 0u; j < ${count(d)}; j++) { sum_${name}[j] = ${online ? 'shrink * ' : ''}sum_${name}[j] + dot(${weight}, vec4f(${list(together, (c) => read(of, `start${c} + j`))})); }
}`,
    )
    .join('\n');
  const [begin, end] = causal
    ? roles.ofQueries
      ? ['0u', `min(${columns}u, tile * ${invocations}u + ${invocations}u)`]
      : [`tile * ${invocations}u / ${together}u * ${together}u`, `${columns}u`]
    : ['0u', `${columns}u`];
  const write = results
    .map(
      ({ name, dim: d }) =>
        `for (var j = 0u; j < ${count(d)}; j++) { ${name}[${place('row', d, 'row', 'j')}] = ${asStored(storageOf(name), `sum_${name}[j]${online ? ' / whole' : ''}`)}; }`,
    )
    .join('\n');
  return step(
    {
      name: `attention ${pass} serial`,
      operands,
      invocations,
      groups: batch * heads * perHead,
      body: `let tile = id % ${perHead}u;
let head = id / ${perHead}u % ${heads}u;
let batch = id / ${perHead * heads}u;
let number = tile * ${invocations}u + lane;
let row = min(number, ${rows - 1}u);
var own: array<f32, ${dim}>;
for (var j = 0u; j < ${count(dim)}; j++) { own[j] = ${read(row, place('row', dim, 'row', 'j'))}; }
${
  usesValues
    ? `var own_value: array<f32, ${valueDim}>;
for (var j = 0u; j < ${count(valueDim)}; j++) { own_value[j] = ${read(rowValue, place('row', valueDim, 'row', 'j'))}; }`
    : ''
}
${results.map(({ name, dim: d }) => `var sum_${name}: array<f32, ${d}>;`).join('\n')}
var most = -1e30;
var whole = 0.0;
for (var c0 = ${begin}; c0 < ${end}; c0 += ${together}u) {
${dots('own', column, dim, 'raw')}
let s = select(raw * ${scale}, vec4f(-1e30), vec4<bool>(${list(together, hidden)}));
${weights}
${accumulate}
}
if (number >= ${rows}u) { return; }
${write}
${pass === 'statistics' ? `${statistic('sums', 'row')} = most + log(whole);` : ''}`,
      flops: passFlops(pass, shape),
    },
    target,
  );
}
