/** @file Attention as products of matrices with scores in memory: the form for devices that compute on the processor, whose products are their fastest kernels, where the scores fit one binding. */
import type { Epilogue, Plan, Slot, Step, Target } from '../kernel.ts';
import type { Attention, AttentionGrad, AttentionShape } from './attention.ts';
import { formOf, planProduct, plainForm } from './forms.ts';
import { type Matmul, matmulProduct, type MatrixView } from './matmul.ts';
import type { Product } from './product.ts';
import { planSoftmax } from './softmax.ts';

const scoresOf = ({ batch, heads, queries, keys }: AttentionShape): number =>
  batch * heads * queries * keys;

/** Whether a device's products go by its processor, and scores are within one binding. */
export const productsFit = (shape: AttentionShape, target: Target): boolean =>
  target.kind === 'software' && 4 * scoresOf(shape) <= target.bindingBytes;

const input = (index: number): Slot => ({ kind: 'input', index });
const output = (index: number): Slot => ({ kind: 'output', index });
const scratch = (index: number): Slot => ({ kind: 'scratch', index });

/** Steps of several plans as one, whose first pieces of memory between steps are `sizes`. */
class Joined {
  readonly steps: Step[] = [];
  readonly scratch: number[];

  constructor(sizes: readonly number[]) {
    this.scratch = [...sizes];
  }

  /** `inputs` and `to`: what the plan's inputs and its output are. */
  add(plan: Plan, inputs: readonly Slot[], to: Slot): void {
    const own = this.scratch.length;
    this.scratch.push(...plan.scratch);
    const place = ({ kind, index }: Slot): Slot =>
      kind === 'input' ? inputs[index]! : kind === 'output' ? to : scratch(own + index);
    for (const { kernel, slots } of plan.steps)
      this.steps.push({ kernel, slots: slots.map(place) });
  }
}

/** The products of attention: how its tensors are matrices, one for each head. */
function productsOf(shape: AttentionShape, target: Target) {
  const { batch, heads, queries, keys, scale, causal } = shape;
  const scored = { storage: 'f32', offset: 0 } as const;
  const perHead = queries * keys;
  const scores: MatrixView = { ...scored, strides: [heads * perHead, perHead, keys, 1] };
  const turned = ({ strides, ...view }: MatrixView): MatrixView => ({
    ...view,
    strides: [...strides.slice(0, 2), strides[3]!, strides[2]!],
  });
  /** A tensor [B, L, heads d] as a matrix [L, d] of each head. */
  const ofHeads = (storage: MatrixView['storage'], length: number, dim: number): MatrixView => ({
    ...{ storage, offset: 0 },
    strides: [length * heads * dim, dim, heads * dim, 1],
  });
  const plan = (product: Product): Plan => {
    const { m, n, k } = product;
    const form = plainForm(target, product.batch * m * n * k) ?? formOf(product, target);
    return planProduct(product, form, target);
  };
  const product = (name: string, matmul: Omit<Matmul, 'batch'>): Product => ({
    ...matmulProduct({ ...matmul, batch: [batch, heads] }),
    name: `attention ${name}`,
  });
  /** A product whose result is [B, m, heads n]. */
  const intoHeads = (name: string, matmul: Omit<Matmul, 'batch'>): Plan => {
    const made = product(name, matmul);
    const { m, n } = matmul;
    const address = (row: string, column: string) =>
      `(((batch / ${heads}u * ${m}u + ${row}) * ${heads}u + batch % ${heads}u) * ${n}u + ${column})`;
    return plan({ ...made, out: { ...made.out, address, quads: false } });
  };
  const masked: Epilogue = {
    key: `scores ${scale} ${causal}`,
    operands: [],
    code: (value, index) =>
      causal
        ? `select(${value} * f32(${scale}), -1e30, ${index} % ${keys}u > ${index} / ${keys}u % ${queries}u)`
        : `(${value} * f32(${scale}))`,
  };
  return {
    scores,
    turned,
    ofHeads,
    product: (name: string, matmul: Omit<Matmul, 'batch'>) => plan(product(name, matmul)),
    intoHeads,
    /** Adds the steps from queries and keys to probabilities, in `to`, by way of the memory `between`. */
    probabilities: (joined: Joined, storage: Attention['storage'], between: Slot, to: Slot) => {
      const { dim } = shape;
      const q = ofHeads(storage.q, queries, dim);
      const k = turned(ofHeads(storage.k, keys, dim));
      joined.add(
        plan(
          product('scores', {
            ...{ m: queries, n: keys, k: dim, a: q, b: k },
            ...{ out: 'f32', epilogue: masked },
          }),
        ),
        [input(0), input(1)],
        between,
      );
      joined.add(
        planSoftmax(
          {
            shape: [batch * heads * queries, keys],
            axis: 1,
            storage: { x: 'f32', out: 'f32' },
          },
          target,
        ),
        [between],
        to,
      );
    },
  };
}

/** Inputs q, k, v; output [B, Lq, heads e]. */
export function attentionByProducts(attention: Attention, target: Target): Plan {
  const { storage, queries, keys, valueDim } = attention;
  const bytes = 4 * scoresOf(attention);
  const [raw, p] = [scratch(0), scratch(1)];
  const by = productsOf(attention, target);
  const joined = new Joined([bytes, bytes]);
  by.probabilities(joined, storage, raw, p);
  joined.add(
    by.intoHeads('values', {
      ...{ m: queries, n: valueDim, k: keys, a: by.scores, out: storage.out },
      b: by.ofHeads(storage.v, keys, valueDim),
    }),
    [p, input(2)],
    output(0),
  );
  return joined;
}

/**
 * Inputs q, k, v, out, dout; outputs dq, dk, dv.
 * @param deltas makes dout . out of each query and head, [B, heads, Lq], in the plan's memory of this number
 */
export function attentionGradByProducts(
  attention: AttentionGrad,
  deltas: { readonly step: Step; readonly bytes: number; readonly index: number },
  target: Target,
): Plan {
  const { storage, queries, keys, dim, valueDim, scale } = attention;
  const bytes = 4 * scoresOf(attention);
  const by = productsOf(attention, target);
  const { scores, turned, ofHeads } = by;
  const sizes = [bytes, bytes];
  sizes[deltas.index] = deltas.bytes;
  const joined = new Joined(sizes);
  // Scores and, after them, their gradients are in the same memory.
  const [raw, p, delta] = [scratch(0), scratch(1), scratch(deltas.index)];
  joined.steps.push(deltas.step);
  by.probabilities(joined, storage, raw, p);
  const dout = ofHeads(storage.dout, queries, valueDim);
  joined.add(
    by.intoHeads('grad values', {
      ...{ m: keys, n: valueDim, k: queries, a: turned(scores), b: dout, out: storage.dv },
    }),
    [p, input(4)],
    output(2),
  );
  const ofScores: Epilogue = {
    key: `gradient of scores ${scale}`,
    operands: [
      { storage: 'f32', size: bytes / 4 },
      { storage: 'f32', size: deltas.bytes / 4 },
    ],
    code: (value, index, [probability, sum]) =>
      `((${value} - ${sum!(`${index} / ${keys}u`)}) * ${probability!(index)} * f32(${scale}))`,
  };
  joined.add(
    by.product('grad scores', {
      ...{ m: queries, n: keys, k: valueDim, a: dout, out: 'f32', epilogue: ofScores },
      b: turned(ofHeads(storage.v, keys, valueDim)),
    }),
    [input(4), input(2), p, delta],
    raw,
  );
  joined.add(
    by.intoHeads('grad queries', {
      ...{ m: queries, n: dim, k: keys, a: scores, out: storage.dq },
      b: ofHeads(storage.k, keys, dim),
    }),
    [raw, input(1)],
    output(0),
  );
  joined.add(
    by.intoHeads('grad keys', {
      ...{ m: keys, n: dim, k: queries, a: turned(scores), out: storage.dk },
      b: ofHeads(storage.q, queries, dim),
    }),
    [raw, input(0)],
    output(1),
  );
  return joined;
}
