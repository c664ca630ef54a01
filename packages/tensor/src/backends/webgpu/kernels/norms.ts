/** @file Layer and group normalisation and their gradients, as src/composites/norms.ts defines them. Sums are f32; so are mean and inverse deviation. */
import type { Epilogue, Plan, Storage, Target } from '../kernel.ts';
import { reduction } from './reduce.ts';
import {
  asFloat,
  asStored,
  ceilDiv,
  epilogueOperands,
  finish,
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

/** Rows that are normalised each by itself; `parameter` is the WGSL of the number in gamma and beta of element `i` of `row`. */
interface Rows {
  readonly name: string;
  readonly rows: number;
  readonly length: number;
  readonly parameters: number;
  readonly parameter: (row: string, i: string) => string;
}

const product = (numbers: readonly number[]): number => numbers.reduce((a, b) => a * b, 1);

function layerRows(shape: readonly number[]): Rows {
  const length = shape.at(-1)!;
  const rows = product(shape.slice(0, -1));
  return { name: 'layer norm', rows, length, parameters: length, parameter: (_, i) => i };
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
    parameter: (row, i) => `${row} % ${groups}u * ${each}u + ${i} / ${area}u`,
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

/** Statements over the elements `i` of a row, from `begin` to `end`, divided between the invocations; `at` is an element's number in the tensor. */
const each = (length: number, invocations: number, body: string) =>
  `for (var i = begin + lane; i < end; i += ${invocations}u) { let at = row * ${length}u + i; ${body} }`;
/** Which elements of which row a workgroup does. */
const part = (length: number, chunks: number) =>
  chunks === 1
    ? `let row = id; let begin = 0u; let end = ${length}u;`
    : `let row = id / ${chunks}u; let chunk = id % ${chunks}u;
let begin = chunk * ${ceilDiv(length, chunks)}u; let end = min(begin + ${ceilDiv(length, chunks)}u, ${length}u);`;

function planNorm(
  rowsOf: Rows,
  { eps, storage, epilogue }: Pick<LayerNorm, 'eps' | 'storage' | 'epilogue'>,
  target: Target,
): Plan {
  const { name, rows, length, parameters, parameter } = rowsOf;
  const size = rows * length;
  const chunks = chunksOf(rowsOf, target);
  const { invocations, enable, declarations, shared } = reduction(length / chunks, target);
  const x: Operand = {
    name: 'x',
    storage: storage.x,
    access: 'read',
    slot: { kind: 'input', index: 0 },
    size,
  };
  const parts: Operand = {
    name: 'parts',
    storage: 'f32',
    access: 'read',
    slot: { kind: 'scratch', index: 0 },
    size: rows * chunks * 2,
  };
  const value = asFloat(storage.x, 'x[at]');
  const moments = (count: string) => `var sum = 0.0;
${each(length, invocations, `sum += ${value};`)}
let mean = total(lane, sum) / ${count};
var squares = 0.0;
${each(length, invocations, `let d = ${value} - mean; squares = fma(d, d, squares);`)}
let deviation = total(lane, squares);`;
  // Means and squares of the parts, put together (Chan et al. 1979).
  const together = `var mean = 0.0;
for (var c = 0u; c < ${chunks}u; c++) { mean += parts[(row * ${chunks}u + c) * 2u] * count(c); }
mean /= ${length}.0;
var deviation = 0.0;
for (var c = 0u; c < ${chunks}u; c++) {
let d = parts[(row * ${chunks}u + c) * 2u] - mean;
deviation += parts[(row * ${chunks}u + c) * 2u + 1u] + d * d * count(c);
}`;
  const chunk = ceilDiv(length, chunks);
  const count = `fn count(chunk: u32) -> f32 { return f32(min((chunk + 1u) * ${chunk}u, ${length}u) - min(chunk * ${chunk}u, ${length}u)); }`;
  const result = finish(
    epilogue,
    `((${value} - mean) * invStd * ${asFloat(storage.gamma, 'gamma[parameter]')} + ${asFloat(storage.beta, 'beta[parameter]')})`,
    'at',
  );
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
        },
        {
          name: 'beta',
          storage: storage.beta,
          access: 'read',
          slot: { kind: 'input', index: 2 },
          size: parameters,
        },
        {
          name: 'y',
          storage: storage.out,
          access: 'write',
          slot: { kind: 'output', index: 0 },
          size,
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
      declarations: chunks > 1 ? count : declarations,
      shared: chunks > 1 ? 0 : shared,
      invocations,
      groups: rows * chunks,
      body: `${part(length, chunks)}
${chunks > 1 ? together : moments(`${length}.0`)}
let invStd = inverseSqrt(deviation / ${length}.0 + ${float(eps)});
if (${chunks > 1 ? 'chunk == 0u && ' : ''}lane == 0u) { means[row] = mean; inverses[row] = invStd; }
${each(length, invocations, `let parameter = ${parameter('row', 'i')}; y[at] = ${asStored(storage.out, result)};`)}`,
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
      declarations: `${declarations}\n${count}`,
      shared,
      invocations,
      groups: rows * chunks,
      body: `${part(length, chunks)}
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
  const { name, rows, length, parameters, parameter } = rowsOf;
  const size = rows * length;
  const chunks = chunksOf(rowsOf, target);
  const { invocations, enable, declarations, shared } = reduction(length / chunks, target);
  const input = (name: string, storage: Storage, index: number, size: number): Operand => ({
    name,
    storage,
    access: 'read',
    slot: { kind: 'input', index },
    size,
  });
  const inputs = [
    input('dy', storage.dy, 0, size),
    input('x', storage.x, 1, size),
    input('gamma', storage.gamma, 2, parameters),
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
  const terms = `let g = ${asFloat(storage.dy, 'dy[at]')} * ${asFloat(storage.gamma, `gamma[${parameter('row', 'i')}]`)};
let h = (${asFloat(storage.x, 'x[at]')} - mean) * invStd;`;
  const sums = `var g_sum = 0.0; var gh_sum = 0.0;
${each(length, invocations, `${terms} g_sum += g; gh_sum = fma(g, h, gh_sum);`)}
let g_total = total(lane, g_sum);
let gh_total = total(lane, gh_sum);`;
  const together = `var g_total = 0.0; var gh_total = 0.0;
for (var c = 0u; c < ${chunks}u; c++) { g_total += parts[(row * ${chunks}u + c) * 2u]; gh_total += parts[(row * ${chunks}u + c) * 2u + 1u]; }`;
  const head = `${part(length, chunks)}
let mean = means[row]; let invStd = inverses[row];`;
  const value = finish(
    epilogue,
    `(invStd * (g - g_total / ${length}.0 - h * (gh_total / ${length}.0)))`,
    'at',
  );
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
${each(length, invocations, `${terms} dx[at] = ${asStored(storage.out, value)};`)}`,
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
