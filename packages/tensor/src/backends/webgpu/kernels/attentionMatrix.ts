/** @file Attention by units that multiply whole matrices of f16 (Dawn's experimental subgroup matrices), with f32 sums. */
import type { Step, Target } from '../kernel.ts';
import { address, type AttentionShape, type Pass, passFlops, rolesOf } from './attention.ts';
import { asStored, ceilDiv, lines, list, type Operand, step } from './wgsl.ts';

/** Rows of a workgroup: 16 of each of four subgroups. */
const rowsOfGroup = 64;
const unit = 16;
const invocations = 128;

const padded = (d: number): number => ceilDiv(d, unit) * unit;

/** Whether a device and a shape allow this form: heads are read in groups of 8 numbers. */
export const matricesFit = ({ dim, valueDim }: AttentionShape, target: Target): boolean => {
  const { f16, subgroups, subgroupMatrix: matrix } = target;
  return (
    target.kind === 'gpu' &&
    f16 &&
    subgroups !== undefined &&
    subgroups.min <= 32 &&
    subgroups.max >= 32 &&
    matrix !== undefined &&
    [matrix.m, matrix.n, matrix.k].every((d) => d === unit) &&
    dim % 8 === 0 &&
    valueDim % 8 === 0 &&
    Math.max(dim, valueDim) <= widestMatrix &&
    target.workgroupSize >= invocations &&
    (['statistics', 'forward', 'queries', 'keys'] as const).every(
      (pass) => memoryOf(pass, { dim, valueDim }, target).bytes <= target.workgroupStorage,
    )
  );
};
/** Of heads: their sums are in registers. */
const widestMatrix = 160;
/** Heads wider than this have the gradients of keys and values summed one after the other: both do not fit registers. */
export const widestTogether = 96;

type Dims = Pick<AttentionShape, 'dim' | 'valueDim'>;

/** The layout of as many columns as fit, and as registers have room for. */
function memoryOf(pass: Pass, dims: Dims, { workgroupStorage }: Pick<Target, 'workgroupStorage'>) {
  const wide = pass === 'queries' || pass === 'keys' || Math.max(dims.dim, dims.valueDim) > 96;
  const most = layoutOf(pass, dims, wide ? 32 : 64);
  return most.bytes <= workgroupStorage ? most : layoutOf(pass, dims, 32);
}

/** Where everything lies in workgroup memory, in bytes. `columns`: how many are gone through at a time. */
function layoutOf(pass: Pass, { dim, valueDim }: Dims, columns: number) {
  const gradients = pass === 'queries' || pass === 'keys';
  const [pitch, valuePitch] = [padded(dim) + 8, padded(valueDim) + 8];
  const tile = columns * pitch * 2;
  const values = pass === 'statistics' ? 0 : columns * valuePitch * 2;
  const scores = rowsOfGroup * (columns + 4) * 4;
  const weights = pass === 'statistics' ? 0 : rowsOfGroup * (columns + 8) * 2;
  const starts = [
    tile,
    values,
    scores,
    gradients ? scores : 0,
    weights,
    // Of wide heads one result is made at a time.
    pass === 'keys' && Math.max(dim, valueDim) <= widestTogether ? weights : 0,
  ];
  const at = starts.map((_, i) => starts.slice(0, i).reduce((a, b) => a + b, 0));
  const total = starts.reduce((a, b) => a + b, 0);
  const [, valueStart, scoreStart, slopeStart, weightStart, slopeWeightStart] = at as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return {
    columns,
    valueStart,
    scoreStart,
    slopeStart,
    weights: { p: weightStart, ds: starts[5] ? slopeWeightStart : weightStart },
    // Rows pass through at the start.
    bytes: Math.max(total, rowsOfGroup * Math.max(pitch, valuePitch) * 2),
  };
}

/** Operands as they are bound: f16 in groups of 8, results in fours. */
const bound = (operands: readonly Operand[]): Operand[] =>
  operands.map((o) =>
    o.slot.kind === 'scratch'
      ? o
      : { ...o, element: o.access === 'read' ? 'vec4<u32>' : `vec4<${o.storage}>` },
  );

/** @param only the result to make of a pass that has two */
export function matrixAttention(
  pass: Pass,
  shape: AttentionShape,
  operands: readonly Operand[],
  target: Target,
  only?: 'dk' | 'dv',
): Step {
  const { batch, heads, dim, valueDim, scale, causal } = shape;
  const memory = memoryOf(pass, shape, target);
  const { columns: width } = memory;
  const roles = rolesOf(pass, shape);
  const { rows, columns, row, column, rowValue, columnValue } = roles;
  const results = roles.results.filter(({ name }) => only === undefined || name === only);
  const slopes = results.some(({ weight }) => weight === 'ds');
  const probabilities = results.some(({ weight }) => weight === 'p');
  const statistics = pass === 'statistics';
  const perHead = ceilDiv(rows, rowsOfGroup);
  const scorePitch = width + 4;
  const weightPitch = width + 8;
  const left = 'subgroup_matrix_left<f16, 16, 16>';
  const right = 'subgroup_matrix_right<f16, 16, 16>';
  const sum = 'subgroup_matrix_result<f32, 16, 16>';
  const place = (of: 'row' | 'column', d: number, at: string, j: string) =>
    address(shape, { length: of === 'row' ? rows : columns, dim: d }, at, j);
  const statistic = (name: string, query: string) =>
    `${name}[(batch * ${heads}u + head) * ${shape.queries}u + ${query}]`;

  /** Reads rows of a head as they lie, 8 numbers at a time, with zeros up to a multiple of 16. */
  const load = (name: string, of: 'row' | 'column', d: number, start: number, count: number) => {
    const per = padded(d) / 8;
    const [origin, limit] = of === 'row' ? ['r0', rows] : ['c0', columns];
    const read = `${name}[(${place(of, d, `min(${origin} + line, ${limit - 1}u)`, 'j')}) / 8u]`;
    const value = padded(d) === d ? read : `select(vec4<u32>(0u), ${read}, whole)`;
    return `for (var u = lane; u < ${count * per}u; u += ${invocations}u) {
let line = u / ${per}u; let spot = u % ${per}u;
${padded(d) === d ? 'let j = spot * 8u;' : `let whole = spot < ${d / 8}u; let j = select(0u, spot * 8u, whole);`}
put_eight(${start / 16}u + line * ${(padded(d) + 8) / 8}u + spot, ${value});
}`;
  };
  /** The rows of this subgroup, kept as matrices. */
  const keep = (name: string, d: number, into: string) => {
    const p = padded(d) + 8;
    return `workgroupBarrier();
${load(name, 'row', d, 0, rowsOfGroup)}
workgroupBarrier();
${lines(padded(d) / unit, (i) => `let ${into}${i} = subgroupMatrixLoad<${left}, row_major>(halves, subgroup * ${unit * p}u + ${i * unit}u, ${p}u);`)}`;
  };
  /** Products of the kept rows with all columns of a tile, stored as f32. */
  const products = (kept: string, d: number, tile: number, into: number) => {
    const p = padded(d) + 8;
    return lines(
      width / unit,
      (j) => `{ var s = ${sum}();
${lines(
  padded(d) / unit,
  (
    i,
  ) => `{ let y = subgroupMatrixLoad<${right}, col_major>(halves, ${tile / 2 + j * unit * p + i * unit}u, ${p}u);
s = subgroupMatrixMultiplyAccumulate(${kept}${i}, y, s); }`,
)}
subgroupMatrixStore<row_major>(floats, ${into / 4 + j * unit}u + subgroup * ${unit * scorePitch}u, s, ${scorePitch}u); }`,
    );
  };
  const hidden = (c: number) => {
    const at = `c0 + column + ${c}u`;
    const beyond = `${at} >= ${columns}u`;
    return causal ? `${beyond} || ${at} ${roles.ofQueries ? '>' : '<'} r0 + own` : beyond;
  };
  const four = (start: number) => `four(${start / 16}u + own * ${scorePitch / 4}u + column / 4u)`;
  const score = `let s = select(${four(memory.scoreStart)} * ${scale}, vec4f(-1e30), vec4<bool>(${list(4, hidden)}));`;
  // An invocation has half of a row of scores.
  const each = (body: string) =>
    `for (var q = 0u; q < ${width / 8}u; q++) { let column = part * ${width / 2}u + q * 4u;
${body} }`;
  const ofColumn = (name: string) =>
    `vec4f(${list(4, (c) => statistic(name, `min(c0 + column + ${c}u, ${columns - 1}u)`))})`;
  const weigh = statistics
    ? `var top = most;
${each(`${score} top = max(top, max(max(s.x, s.y), max(s.z, s.w)));`)}
whole *= exp(most - top);
most = top;
${each(`${score} whole += dot(exp(s - vec4f(top)), vec4f(1));`)}`
    : each(`${score}
let p = exp(s - ${roles.ofQueries ? 'vec4f(own_sums)' : ofColumn('sums')});
${probabilities ? `put_four(${memory.weights.p / 8}u + own * ${weightPitch / 4}u + column / 4u, bitcast<vec2<u32>>(vec4<f16>(p)));` : ''}
${
  slopes
    ? `let ds = p * (${four(memory.slopeStart)} - ${roles.ofQueries ? 'vec4f(own_deltas)' : ofColumn('deltas')}) * ${scale};
put_four(${memory.weights.ds / 8}u + own * ${weightPitch / 4}u + column / 4u, bitcast<vec2<u32>>(vec4<f16>(ds)));`
    : ''
}`);
  const accumulate = results
    .map(({ name, of, weight, dim: d }) => {
      const p = padded(d) + 8;
      const tile = of === column ? 0 : memory.valueStart;
      return lines(
        width / unit,
        (
          i,
        ) => `{ let x = subgroupMatrixLoad<${left}, row_major>(halves, ${memory.weights[weight] / 2 + i * unit}u + subgroup * ${unit * weightPitch}u, ${weightPitch}u);
${lines(
  padded(d) / unit,
  (
    j,
  ) => `{ let y = subgroupMatrixLoad<${right}, row_major>(halves, ${tile / 2 + i * unit * p + j * unit}u, ${p}u);
sum_${name}${j} = subgroupMatrixMultiplyAccumulate(x, y, sum_${name}${j}); }`,
)} }`,
      );
    })
    .join('\n');
  const storageOf = (name: string) => operands.find((o) => o.name === name)!.storage;
  const perTurn = width / unit;
  const write = results
    .map(({ name, dim: d }) =>
      lines(
        ceilDiv(padded(d), width),
        (turn) => `workgroupBarrier();
${lines(Math.min(perTurn, padded(d) / unit - turn * perTurn), (j) => `subgroupMatrixStore<row_major>(floats, ${memory.scoreStart / 4 + j * unit}u + subgroup * ${unit * scorePitch}u, sum_${name}${turn * perTurn + j}, ${scorePitch}u);`)}
workgroupBarrier();
${each(`let j = ${turn * width}u + column;
if (r0 + own < ${rows}u && j < ${d}u) { ${name}[(${place('row', d, 'r0 + own', 'j')}) / 4u] = ${asStored(storageOf(name), four(memory.scoreStart), 4)}; }`)}`,
      ),
    )
    .join('\n');
  const finish = `workgroupBarrier();
put_float(${memory.scoreStart / 4}u + (part * ${rowsOfGroup}u + own) * 4u, most);
put_float(${memory.scoreStart / 4}u + (part * ${rowsOfGroup}u + own) * 4u + 1u, whole);
workgroupBarrier();
if (part == 0u && r0 + own < ${rows}u) {
let other = four(${memory.scoreStart / 16 + rowsOfGroup}u + own);
let top = max(most, other.x);
${statistic('sums', 'r0 + own')} = top + log(whole * exp(most - top) + other.y * exp(other.x - top));
}`;
  const [begin, end] = causal
    ? roles.ofQueries
      ? ['0u', `min(${columns}u, r0 + ${rowsOfGroup}u)`]
      : ['r0', `${columns}u`]
    : ['0u', `${columns}u`];
  const usesTile = !statistics && results.some(({ of }) => of === columnValue);
  return step(
    {
      name: `attention ${pass}${only ? ` ${only}` : ''} matrix ${rowsOfGroup}x${width}`,
      operands: bound(operands),
      enable: [
        'f16',
        'subgroups',
        'subgroup_size_control',
        'chromium_experimental_subgroup_matrix',
      ],
      directives: 'diagnostic(off, chromium.subgroup_matrix_uniformity);',
      declarations: `var<workgroup> memory: buffer<${memory.bytes}>;
fn put_eight(i: u32, v: vec4<u32>) { bufferView<array<vec4<u32>>>(&memory, 0)[i] = v; }
fn put_four(i: u32, v: vec2<u32>) { bufferView<array<vec2<u32>>>(&memory, 0)[i] = v; }
fn put_float(i: u32, v: f32) { bufferView<array<f32>>(&memory, 0)[i] = v; }
fn four(i: u32) -> vec4f { return bufferView<array<vec4f>>(&memory, 0)[i]; }`,
      shared: memory.bytes,
      invocations,
      attributes: '@subgroup_size(32)',
      builtins: '@builtin(subgroup_id) subgroup: u32',
      groups: batch * heads * perHead,
      body: `let halves = bufferView<array<f16>>(&memory, 0);
let floats = bufferView<array<f32>>(&memory, 0);
let r0 = id % ${perHead}u * ${rowsOfGroup}u;
let head = id / ${perHead}u % ${heads}u;
let batch = id / ${perHead * heads}u;
let own = lane / 32u * ${unit}u + lane % ${unit}u;
let part = lane / ${unit}u % 2u;
${keep(row, dim, 'kept')}
${slopes ? keep(rowValue, valueDim, 'values') : ''}
${roles.ofQueries && !statistics ? `let own_sums = ${statistic('sums', `min(r0 + own, ${rows - 1}u)`)};` : ''}
${roles.ofQueries && slopes ? `let own_deltas = ${statistic('deltas', `min(r0 + own, ${rows - 1}u)`)};` : ''}
${results.map(({ name, dim: d }) => lines(padded(d) / unit, (j) => `var sum_${name}${j}: ${sum};`)).join('\n')}
${statistics ? 'var most = -1e30; var whole = 0.0;' : ''}
for (var c0 = ${begin}; c0 < ${end}; c0 += ${width}u) {
workgroupBarrier();
${load(column, 'column', dim, 0, width)}
${usesTile || slopes ? load(columnValue, 'column', valueDim, memory.valueStart, width) : ''}
workgroupBarrier();
${products('kept', dim, 0, memory.scoreStart)}
${slopes ? products('values', valueDim, memory.valueStart, memory.slopeStart) : ''}
workgroupBarrier();
${weigh}
${statistics ? '' : 'workgroupBarrier();'}
${accumulate}
}
${statistics ? finish : write}`,
      flops: passFlops(pass, shape),
    },
    target,
  );
}
