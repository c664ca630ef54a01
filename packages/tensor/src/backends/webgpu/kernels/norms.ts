/** @file Layer and group normalisation and their gradients, as src/composites/norms.ts defines them. Sums are f32; so are mean and inverse deviation. */
import type { Epilogue, Plan, Storage, Target } from '../kernel.ts';
import { reduction } from './reduce.ts';
import {
  asFloat,
  asStored,
  ceilDiv,
  epilogueOperands,
  finish,
  list,
  type Operand,
  step,
} from './wgsl.ts';

export interface LayerNorm {
  /** Over the last axis. */
  readonly shape: readonly number[];
  readonly eps: number;
  readonly storage: {
    readonly x: Storage;
    readonly gamma: Storage;
    readonly beta: Storage;
    readonly out: Storage;
  };
  readonly epilogue?: Epilogue | undefined;
}
export interface GroupNorm extends LayerNorm {
  /** Of the channels, axis 1. */
  readonly groups: number;
}
export interface LayerNormGrad {
  readonly shape: readonly number[];
  readonly storage: {
    readonly dy: Storage;
    readonly x: Storage;
    readonly gamma: Storage;
    readonly out: Storage;
  };
  readonly epilogue?: Epilogue | undefined;
}
export interface GroupNormGrad extends LayerNormGrad {
  readonly groups: number;
}

/** Rows that are normalised each by itself; `parameter` is the WGSL of the number in gamma and beta of element (or four) `i` of `row`. */
interface Rows {
  readonly name: string;
  readonly rows: number;
  readonly length: number;
  readonly parameters: number;
  /** As many elements as are read at once: fours of a row lie at multiples of four. */
  readonly width: 1 | 4;
  /** Each element has a parameter of its own; else all elements of a four share one. */
  readonly own: boolean;
  readonly parameter: (row: string, i: string) => string;
}

const product = (numbers: readonly number[]): number => numbers.reduce((a, b) => a * b, 1);

function layerRows(shape: readonly number[]): Rows {
  const length = shape.at(-1)!;
  const rows = product(shape.slice(0, -1));
  const width = length % 4 === 0 ? 4 : 1;
  const parameters = length;
  return { name: 'layer norm', rows, length, parameters, width, own: true, parameter: (_, i) => i };
}
function groupRows(shape: readonly number[], groups: number): Rows {
  const [n, channels] = shape as [number, number];
  const area = product(shape.slice(2));
  const each = channels / groups;
  return {
    name: 'group norm',
    rows: n * groups,
    length: each * area,
    parameters: channels,
    width: area % 4 === 0 ? 4 : 1,
    own: false,
    parameter: (row, i) =>
      `${row} % ${groups}u * ${each}u + ${i} / ${area % 4 === 0 ? area / 4 : area}u`,
  };
}

/** Inputs x, gamma, beta and the epilogue's operands; outputs y, mean, invStd. */
export const planLayerNorm = (norm: LayerNorm, target: Target): Plan =>
  planNorm(layerRows(norm.shape), norm, target);
/** Inputs x, gamma, beta and the epilogue's operands; outputs y, mean, invStd [N, groups, 1]. */
export const planGroupNorm = (norm: GroupNorm, target: Target): Plan =>
  planNorm(groupRows(norm.shape, norm.groups), norm, target);
/** Inputs dy, x, gamma, mean, invStd and the epilogue's operands; output dx. */
export const planLayerNormGrad = (norm: LayerNormGrad, target: Target): Plan =>
  planNormGrad(layerRows(norm.shape), norm, target);
/** Inputs dy, x, gamma, mean, invStd and the epilogue's operands; output dx. */
export const planGroupNormGrad = (norm: GroupNormGrad, target: Target): Plan =>
  planNormGrad(groupRows(norm.shape, norm.groups), norm, target);

/** How many workgroups share a row: where rows are long and fewer than what keeps a large device busy. */
function chunksOf({ rows, length }: Rows, target: Target): number {
  if (target.kind === 'software' || rows >= 264 || length < 8192) return 1;
  return Math.min(64, ceilDiv(528, rows), Math.floor(length / 2048));
}

/** What both norms and gradients spell of rows: elements are read in fours where they may be, `i` and `at` are then numbers of fours. */
function spelling(rowsOf: Rows, target: Target, epilogue: Epilogue | undefined) {
  const { length, width, own, parameter } = rowsOf;
  const chunks = chunksOf(rowsOf, target);
  const units = length / width;
  const chunk = ceilDiv(units, chunks);
  const { invocations, ...reduced } = reduction(units / chunks, target);
  const four = width === 4;
  return {
    chunks,
    invocations,
    reduced,
    zero: four ? 'vec4f(0)' : '0.0',
    /** The sum of an element or four. */
    sum: (value: string) => (four ? `dot(${value}, vec4f(1))` : value),
    element: (name: string, storage: Storage) => asFloat(storage, `${name}[at]`, width),
    parameter: (name: string, storage: Storage) =>
      asFloat(storage, `${name}[${parameter('row', 'i')}]`, own ? width : 1),
    wide: (storage: Storage) => (four ? { element: `vec4<${storage}>` } : {}),
    wideParameter: (storage: Storage) => (four && own ? { element: `vec4<${storage}>` } : {}),
    store: (name: string, storage: Storage, value: string) =>
      four
        ? `let r = ${value}; ${name}[at] = ${asStored(storage, `vec4f(${list(4, (c) => finish(epilogue, `r.${'xyzw'[c]}`, `(at * 4u + ${c}u)`))})`, 4)};`
        : `${name}[at] = ${asStored(storage, finish(epilogue, value, 'at'))};`,
    /** Which elements of which row a workgroup does. */
    part:
      chunks === 1
        ? `let row = id; let begin = 0u; let end = ${units}u;`
        : `let row = id / ${chunks}u; let chunk = id % ${chunks}u;
let begin = min(chunk * ${chunk}u, ${units}u); let end = min(begin + ${chunk}u, ${units}u);`,
    /** Statements over the elements of a row, divided between the invocations. */
    each: (body: string) =>
      `for (var i = begin + lane; i < end; i += ${invocations}u) { let at = row * ${units}u + i; ${body} }`,
    /** How many elements a chunk has. */
    count: `fn count(chunk: u32) -> f32 { return f32((min((chunk + 1u) * ${chunk}u, ${units}u) - min(chunk * ${chunk}u, ${units}u)) * ${width}u); }`,
  };
}

function planNorm(
  rowsOf: Rows,
  { eps, storage, epilogue }: Pick<LayerNorm, 'eps' | 'storage' | 'epilogue'>,
  target: Target,
): Plan {
  const { name, rows, length, parameters } = rowsOf;
  const size = rows * length;
  const spell = spelling(rowsOf, target, epilogue);
  const { chunks, invocations, each } = spell;
  const { enable, declarations, shared } = spell.reduced;
  const x: Operand = {
    name: 'x',
    storage: storage.x,
    access: 'read',
    slot: { kind: 'input', index: 0 },
    size,
    ...spell.wide(storage.x),
  };
  const parts: Operand = {
    name: 'parts',
    storage: 'f32',
    access: 'read',
    slot: { kind: 'scratch', index: 0 },
    size: rows * chunks * 2,
  };
  const value = spell.element('x', storage.x);
  const moments = (count: string) => `var sum = ${spell.zero};
${each(`sum += ${value};`)}
let mean = total(lane, ${spell.sum('sum')}) / ${count};
var squares = ${spell.zero};
${each(`let d = ${value} - mean; squares = fma(d, d, squares);`)}
let deviation = total(lane, ${spell.sum('squares')});`;
  // Means and squares of the parts, put together (Chan et al. 1979).
  const together = `var mean = 0.0;
for (var c = 0u; c < ${chunks}u; c++) { mean += parts[(row * ${chunks}u + c) * 2u] * count(c); }
mean /= f32(${length}u);
var deviation = 0.0;
for (var c = 0u; c < ${chunks}u; c++) {
let d = parts[(row * ${chunks}u + c) * 2u] - mean;
deviation += parts[(row * ${chunks}u + c) * 2u + 1u] + d * d * count(c);
}`;
  const result = `((${value} - mean) * invStd * ${spell.parameter('gamma', storage.gamma)} + ${spell.parameter('beta', storage.beta)})`;
  const apply = step(
    {
      name: `${name}${chunks > 1 ? ' of parts' : ''}`,
      operands: [
        x,
        {
          name: 'gamma',
          storage: storage.gamma,
          access: 'read',
          slot: { kind: 'input', index: 1 },
          size: parameters,
          ...spell.wideParameter(storage.gamma),
        },
        {
          name: 'beta',
          storage: storage.beta,
          access: 'read',
          slot: { kind: 'input', index: 2 },
          size: parameters,
          ...spell.wideParameter(storage.beta),
        },
        {
          name: 'y',
          storage: storage.out,
          access: 'write',
          slot: { kind: 'output', index: 0 },
          size,
          ...spell.wide(storage.out),
        },
        {
          name: 'means',
          storage: 'f32',
          access: 'write',
          slot: { kind: 'output', index: 1 },
          size: rows,
        },
        {
          name: 'inverses',
          storage: 'f32',
          access: 'write',
          slot: { kind: 'output', index: 2 },
          size: rows,
        },
        ...(chunks > 1 ? [parts] : []),
        ...epilogueOperands(epilogue, 3),
      ],
      enable: chunks > 1 ? [] : enable,
      declarations: chunks > 1 ? spell.count : declarations,
      shared: chunks > 1 ? 0 : shared,
      invocations,
      groups: rows * chunks,
      body: `${spell.part}
${chunks > 1 ? together : moments(`f32(${length}u)`)}
let invStd = inverseSqrt(deviation / f32(${length}u) + ${float(eps)});
if (${chunks > 1 ? 'chunk == 0u && ' : ''}lane == 0u) { means[row] = mean; inverses[row] = invStd; }
${each(spell.store('y', storage.out, result))}`,
      flops: size * 8,
    },
    target,
  );
  if (chunks === 1) return { steps: [apply], scratch: [] };
  const statistics = step(
    {
      name: `${name} parts`,
      operands: [x, { ...parts, access: 'write' }],
      enable,
      declarations: `${declarations}\n${spell.count}`,
      shared,
      invocations,
      groups: rows * chunks,
      body: `${spell.part}
${moments('max(count(chunk), 1.0)')}
if (lane == 0u) { parts[id * 2u] = mean; parts[id * 2u + 1u] = deviation; }`,
      flops: size * 4,
    },
    target,
  );
  return { steps: [statistics, apply], scratch: [rows * chunks * 8] };
}

/** A number as WGSL f32. */
const float = (value: number): string => `f32(${value})`;

function planNormGrad(
  rowsOf: Rows,
  { storage, epilogue }: Pick<LayerNormGrad, 'storage' | 'epilogue'>,
  target: Target,
): Plan {
  const { name, rows, length, parameters } = rowsOf;
  const size = rows * length;
  const spell = spelling(rowsOf, target, epilogue);
  const { chunks, invocations, each } = spell;
  const { enable, declarations, shared } = spell.reduced;
  const input = (
    name: string,
    storage: Storage,
    index: number,
    size: number,
    wide: { element?: string } = {},
  ): Operand => ({
    name,
    storage,
    access: 'read',
    slot: { kind: 'input', index },
    size,
    ...wide,
  });
  const inputs = [
    input('dy', storage.dy, 0, size, spell.wide(storage.dy)),
    input('x', storage.x, 1, size, spell.wide(storage.x)),
    input('gamma', storage.gamma, 2, parameters, spell.wideParameter(storage.gamma)),
    input('means', 'f32', 3, rows),
    input('inverses', 'f32', 4, rows),
  ];
  const parts: Operand = {
    name: 'parts',
    storage: 'f32',
    access: 'read',
    slot: { kind: 'scratch', index: 0 },
    size: rows * chunks * 2,
  };
  const terms = `let g = ${spell.element('dy', storage.dy)} * ${spell.parameter('gamma', storage.gamma)};
let h = (${spell.element('x', storage.x)} - mean) * invStd;`;
  const sums = `var g_sum = ${spell.zero}; var gh_sum = ${spell.zero};
${each(`${terms} g_sum += g; gh_sum = fma(g, h, gh_sum);`)}
let g_total = total(lane, ${spell.sum('g_sum')});
let gh_total = total(lane, ${spell.sum('gh_sum')});`;
  const together = `var g_total = 0.0; var gh_total = 0.0;
for (var c = 0u; c < ${chunks}u; c++) { g_total += parts[(row * ${chunks}u + c) * 2u]; gh_total += parts[(row * ${chunks}u + c) * 2u + 1u]; }`;
  const head = `${spell.part}
let mean = means[row]; let invStd = inverses[row];`;
  const value = `(invStd * (g - g_total / f32(${length}u) - h * (gh_total / f32(${length}u))))`;
  const apply = step(
    {
      name: `${name} grad${chunks > 1 ? ' of parts' : ''}`,
      operands: [
        ...inputs,
        {
          name: 'dx',
          storage: storage.out,
          access: 'write',
          slot: { kind: 'output', index: 0 },
          size,
          ...spell.wide(storage.out),
        },
        ...(chunks > 1 ? [parts] : []),
        ...epilogueOperands(epilogue, 5),
      ],
      enable: chunks > 1 ? [] : enable,
      declarations: chunks > 1 ? '' : declarations,
      shared: chunks > 1 ? 0 : shared,
      invocations,
      groups: rows * chunks,
      body: `${head}
${chunks > 1 ? together : sums}
${each(`${terms} ${spell.store('dx', storage.out, value)}`)}`,
      flops: size * 13,
    },
    target,
  );
  if (chunks === 1) return { steps: [apply], scratch: [] };
  const statistics = step(
    {
      name: `${name} grad parts`,
      operands: [...inputs, { ...parts, access: 'write' }],
      enable,
      declarations,
      shared,
      invocations,
      groups: rows * chunks,
      body: `${head}
${sums}
if (lane == 0u) { parts[id * 2u] = g_total; parts[id * 2u + 1u] = gh_total; }`,
      flops: size * 6,
    },
    target,
  );
  return { steps: [statistics, apply], scratch: [rows * chunks * 8] };
}
