/** @file Attention that keeps no scores (Dao et al. 2022), and its gradient, as src/composites/attention.ts defines them. Sums and exponentials are f32. */
import type { Plan, Slot, Step, Storage, Target } from '../kernel.ts';
import { matricesFit, matrixAttention, widestTogether } from './attentionMatrix.ts';
import { attentionByProducts, attentionGradByProducts, productsFit } from './attentionProducts.ts';
import { serialAttention } from './attentionSerial.ts';
import { attentionTile, tiledAttention } from './attentionTiled.ts';
import { asFloat, ceilDiv, type Operand, step } from './wgsl.ts';

export interface AttentionShape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  /** Of a head's queries and keys. */
  readonly dim: number;
  /** Of a head's values. */
  readonly valueDim: number;
  readonly scale: number;
  /** A query sees no later key. */
  readonly causal: boolean;
}
export interface Attention extends AttentionShape {
  readonly storage: {
    readonly q: Storage;
    readonly k: Storage;
    readonly v: Storage;
    readonly out: Storage;
  };
}
export interface AttentionGrad extends AttentionShape {
  readonly storage: Attention['storage'] & {
    readonly dout: Storage;
    readonly dq: Storage;
    readonly dk: Storage;
    readonly dv: Storage;
  };
}

/** `serial`: an invocation goes through all keys of a query; `tiled`: a workgroup through tiles of them; `matrix`: the same by subgroup matrices, f16 alone; `products`: scores are kept, between products of matrices. */
export type AttentionForm = 'serial' | 'tiled' | 'matrix' | 'products';

/**
 * What one pass over all pairs of queries and keys does for each of its rows:
 * `forward` (rows are queries) the result; `statistics` (queries) the logarithm of the sum of exponentials;
 * `queries` the gradient of queries; `keys` (rows are keys) those of keys and values.
 */
export type Pass = 'forward' | 'statistics' | 'queries' | 'keys';

/** Which form suits a device: tiles need workgroup memory that is cheap. */
function formOf(
  shape: AttentionShape & { readonly storage: Readonly<Record<string, Storage>> },
  target: Target,
): AttentionForm {
  const halves = Object.values(shape.storage).every((storage) => storage === 'f16');
  if (halves && matricesFit(shape, target)) return 'matrix';
  if (productsFit(shape, target)) return 'products';
  return target.kind === 'gpu' && attentionTile(shape, target) !== undefined ? 'tiled' : 'serial';
}

const passStep = (
  form: Exclude<AttentionForm, 'products'>,
  pass: Pass,
  shape: AttentionShape,
  operands: readonly Operand[],
  target: Target,
): Step =>
  ({ matrix: matrixAttention, tiled: tiledAttention, serial: serialAttention })[form](
    pass,
    shape,
    operands,
    target,
  );

type Names = 'q' | 'k' | 'v' | 'out' | 'dout' | 'dq' | 'dk' | 'dv';
const operand = (
  name: Names,
  storage: Storage,
  slot: Slot,
  { batch, heads, queries, keys, dim, valueDim }: AttentionShape,
): Operand => {
  const ofQueries = ['q', 'out', 'dout', 'dq'].includes(name);
  const ofDim = ['q', 'k', 'dq', 'dk'].includes(name);
  return {
    name,
    storage,
    access: slot.kind === 'output' ? 'write' : 'read',
    slot,
    size: batch * heads * (ofQueries ? queries : keys) * (ofDim ? dim : valueDim),
  };
};
const input = (index: number): Slot => ({ kind: 'input', index });
const output = (index: number): Slot => ({ kind: 'output', index });

/** What is kept between steps, a number for each query and head: [B, heads, Lq]. */
const kept = (name: string, index: number, access: 'read' | 'write', size: number): Operand => ({
  name,
  storage: 'f32',
  access,
  slot: { kind: 'scratch', index },
  size,
});

/** Inputs q, k, v; output [B, Lq, heads e]. */
export function planAttention(attention: Attention, target: Target, form?: AttentionForm): Plan {
  const { storage } = attention;
  const operands = [
    operand('q', storage.q, input(0), attention),
    operand('k', storage.k, input(1), attention),
    operand('v', storage.v, input(2), attention),
    operand('out', storage.out, output(0), attention),
  ];
  const form_ = form ?? formOf(attention, target);
  if (form_ === 'products') return attentionByProducts(attention, target);
  if (form_ === 'matrix') {
    // Sums of matrices cannot be scaled by row as they grow, so the sums of exponentials come first.
    const { batch, heads, queries } = attention;
    const sums = (access: 'read' | 'write') => kept('sums', 0, access, batch * heads * queries);
    const [q, k, v, out] = operands as [Operand, Operand, Operand, Operand];
    return {
      steps: [
        matrixAttention('statistics', attention, [q, k, sums('write')], target),
        matrixAttention('forward', attention, [q, k, v, sums('read'), out], target),
      ],
      scratch: [batch * heads * queries * 4],
    };
  }
  return { steps: [passStep(form_, 'forward', attention, operands, target)], scratch: [] };
}

/** Inputs q, k, v, out, dout; outputs dq, dk, dv. */
export function planAttentionGrad(
  attention: AttentionGrad,
  target: Target,
  form?: AttentionForm,
): Plan {
  const { storage, batch, heads, queries, valueDim } = attention;
  const rows = batch * heads * queries;
  const [q, k, v, dout] = [
    operand('q', storage.q, input(0), attention),
    operand('k', storage.k, input(1), attention),
    operand('v', storage.v, input(2), attention),
    operand('dout', storage.dout, input(4), attention),
  ];
  const out = operand('out', storage.out, input(3), attention);
  const invocations = target.kind === 'software' ? 8 : 64;
  // delta = dout . out of each query and head, [B, heads, Lq].
  const deltas = step(
    {
      name: 'attention grad deltas',
      operands: [out, dout, kept('deltas', 1, 'write', rows)],
      invocations,
      groups: ceilDiv(rows, invocations),
      body: `let row = id * ${invocations}u + lane;
if (row >= ${rows}u) { return; }
let query = row % ${queries}u;
let head = row / ${queries}u % ${heads}u;
let start = ((row / ${queries * heads}u * ${queries}u + query) * ${heads}u + head) * ${valueDim}u;
var sum = 0.0;
for (var j = 0u; j < ${valueDim}u; j++) { sum = fma(${asFloat(storage.dout, 'dout[start + j]')}, ${asFloat(storage.out, 'out[start + j]')}, sum); }
deltas[row] = sum;`,
      flops: 2 * rows * valueDim,
    },
    target,
  );
  const form_ = form ?? formOf(attention, target);
  if (form_ === 'products') {
    const slots = deltas.slots.map((slot) =>
      slot.kind === 'scratch' ? { ...slot, index: 2 } : slot,
    );
    const made = { step: { ...deltas, slots }, bytes: rows * 4, index: 2 };
    return attentionGradByProducts(attention, made, target);
  }
  const statistics = [kept('sums', 0, 'read', rows), kept('deltas', 1, 'read', rows)];
  const dk = operand('dk', storage.dk, output(1), attention);
  const dv = operand('dv', storage.dv, output(2), attention);
  const pass = (pass: Pass, operands: readonly Operand[]) =>
    passStep(form_, pass, attention, operands, target);
  return {
    steps: [
      deltas,
      pass('statistics', [q, k, kept('sums', 0, 'write', rows)]),
      pass('queries', [
        q,
        k,
        v,
        dout,
        ...statistics,
        operand('dq', storage.dq, output(0), attention),
      ]),
      ...(form_ === 'matrix' && Math.max(attention.dim, valueDim) > widestTogether
        ? [
            matrixAttention('keys', attention, [q, k, dout, statistics[0]!, dv], target, 'dv'),
            matrixAttention('keys', attention, [q, k, v, dout, ...statistics, dk], target, 'dk'),
          ]
        : [pass('keys', [q, k, v, dout, ...statistics, dk, dv])]),
    ],
    scratch: [rows * 4, rows * 4],
  };
}

/** What a pass reads and makes, by the roles of rows (of which an invocation or workgroup keeps its own) and columns (which it goes through). */
export interface Roles {
  readonly rows: number;
  readonly columns: number;
  readonly ofQueries: boolean;
  /** Multiplied with each other for scores. */
  readonly row: 'q' | 'k';
  readonly column: 'k' | 'q';
  /** Multiplied with each other for the gradient of a probability. */
  readonly rowValue: 'dout' | 'v';
  readonly columnValue: 'v' | 'dout';
  readonly usesValues: boolean;
  /** Sums over columns: of what, weighted by probabilities or by the gradients of scores, into which result. */
  readonly results: readonly {
    readonly name: 'out' | 'dq' | 'dk' | 'dv';
    readonly of: 'q' | 'k' | 'v' | 'dout';
    readonly weight: 'p' | 'ds';
    readonly dim: number;
  }[];
}

export function rolesOf(pass: Pass, { queries, keys, dim, valueDim }: AttentionShape): Roles {
  const byKeys = pass === 'keys';
  return {
    rows: byKeys ? keys : queries,
    columns: byKeys ? queries : keys,
    ofQueries: !byKeys,
    row: byKeys ? 'k' : 'q',
    column: byKeys ? 'q' : 'k',
    rowValue: byKeys ? 'v' : 'dout',
    columnValue: byKeys ? 'dout' : 'v',
    usesValues: pass === 'queries' || pass === 'keys',
    results: {
      forward: [{ name: 'out', of: 'v', weight: 'p', dim: valueDim } as const],
      statistics: [],
      queries: [{ name: 'dq', of: 'k', weight: 'ds', dim } as const],
      keys: [
        { name: 'dv', of: 'dout', weight: 'p', dim: valueDim } as const,
        { name: 'dk', of: 'q', weight: 'ds', dim } as const,
      ],
    }[pass],
  };
}

/** Products of all pairs, twice as many operations; half of them under a causal mask. */
export function passFlops(pass: Pass, shape: AttentionShape): number {
  const { batch, heads, queries, keys, dim, valueDim, causal } = shape;
  const pairs = batch * heads * queries * keys * (causal ? 0.5 : 1);
  const each = {
    forward: dim + valueDim,
    statistics: dim,
    queries: 2 * dim + valueDim,
    keys: 2 * (dim + valueDim),
  }[pass];
  return 2 * pairs * each;
}

/** The number of a tensor's element of a batch, place, head and j: [B, L, heads d]. */
export const address = (
  { heads }: AttentionShape,
  { length, dim }: { length: number; dim: number },
  place: string,
  j: string,
): string => `((batch * ${length}u + ${place}) * ${heads}u + head) * ${dim}u + ${j}`;
