/** @file What a node makes of tensors that are cut along an axis: one exhaustive table. */
import { type Attributes, type Primitive, type Shape, sizeOf, type TensorType } from './types.ts';

/**
 * What each of several shares of a computation holds of a tensor: its part along an axis, in equal parts one after the other; all of it ('whole'); or a summand, of which
 * those of all shares make the tensor ('sum').
 */
export type Cut = number | 'whole' | 'sum';
/** How a share has to have the inputs of a node, and what it has of the result then. */
export interface Passed {
  readonly needs: readonly Cut[];
  readonly cut: Cut;
}

interface Call<A> {
  readonly inputs: readonly TensorType[];
  readonly attrs: A;
  readonly shape: Shape;
  /** How many shares there are. */
  readonly parts: number;
}
/** `cuts`: axes or 'whole', and not all of them whole. Undefined: no share can do this by itself. */
type Rule<A> = (cuts: readonly Cut[], call: Call<A>) => Passed | undefined;

const isAxis = (cut: Cut): cut is number => typeof cut === 'number';
/** The same axis of all inputs and the result. */
const aligned: Rule<object> = (cuts) => {
  const axes = new Set(cuts.filter(isAxis));
  const [axis] = axes;
  return axes.size === 1 ? { needs: cuts.map(() => axis!), cut: axis! } : undefined;
};
const alignedExcept =
  (...excluded: readonly number[]): Rule<object> =>
  (cuts, call) => {
    const passed = aligned(cuts, call);
    return passed && excluded.includes(passed.cut as number) ? undefined : passed;
  };
const alignedExceptLast: Rule<object> = (cuts, call) =>
  alignedExcept(call.inputs[0]!.shape.length - 1)(cuts, call);
/** Cut along the batch, if the named inputs are; the others are whole. */
const byBatch =
  (...batched: readonly number[]): Rule<object> =>
  (cuts, { inputs }) =>
    cuts.every((cut, i) => (batched.includes(i) ? cut === 0 || cut === 'whole' : cut === 'whole'))
      ? { needs: inputs.map((_, i) => (batched.includes(i) ? 0 : 'whole')), cut: 0 }
      : undefined;
const nowhere: Rule<object> = () => undefined;

/** The axis of `to` that falls into the same equal parts as axis `axis` of `from`, row-major. */
function sameCut(from: Shape, axis: number, to: Shape, parts: number): number | undefined {
  const before = sizeOf(from.slice(0, axis));
  const found = to.findIndex(
    (length, i) => length % parts === 0 && sizeOf(to.slice(0, i)) === before,
  );
  return found < 0 ? undefined : found;
}

/** By name; a composite that is not here is left to the end. */
const composites: Readonly<Record<string, Rule<Attributes['composite']>>> = {
  silu: aligned,
  siluGrad: aligned,
  gelu: aligned,
  geluGrad: aligned,
  geglu: alignedExceptLast,
  gegluGrad: alignedExceptLast,
  softmax: (cuts, call) => alignedExcept(call.attrs.options['axis'] as number)(cuts, call),
  layerNorm: ([x, ...others], call) => {
    const last = call.inputs[0]!.shape.length - 1;
    return isAxis(x!) && x !== last && others.every((cut) => cut === 'whole')
      ? { needs: [x, 'whole', 'whole'], cut: x }
      : undefined;
  },
  layerNormGrad: ([dy, x, gamma, ...stats], call) => {
    const passed = alignedExceptLast([dy!, x!, ...stats], call);
    return passed && gamma === 'whole'
      ? { needs: [passed.cut, passed.cut, 'whole', passed.cut, passed.cut], cut: passed.cut }
      : undefined;
  },
  groupNorm: byBatch(0),
  groupNormGrad: byBatch(0, 1, 3, 4),
  attention: byBatch(0, 1, 2),
  attentionGrad: byBatch(0, 1, 2, 3, 4),
};

const rules: { readonly [P in Primitive]: Rule<Attributes[P]> } = {
  input: nowhere,
  weight: nowhere,
  constant: nowhere,
  neg: aligned,
  exp: aligned,
  log: aligned,
  sqrt: aligned,
  sin: aligned,
  cos: aligned,
  tanh: aligned,
  erf: aligned,
  sigmoid: aligned,
  abs: aligned,
  sign: aligned,
  add: aligned,
  sub: aligned,
  mul: aligned,
  div: aligned,
  pow: aligned,
  maximum: aligned,
  minimum: aligned,
  less: aligned,
  equal: aligned,
  where: aligned,
  cast: aligned,
  stopGradient: aligned,
  broadcast: aligned,
  part: aligned,
  reduceSum: ([cut], { attrs }) => ({
    needs: [cut!],
    cut: attrs.axes.includes(cut as number) ? 'sum' : cut!,
  }),
  reduceMax: (cuts, call) => alignedExcept(...call.attrs.axes)(cuts, call),
  matmul: ([a, b], { inputs, attrs: { transposeA, transposeB } }) => {
    const last = inputs[0]!.shape.length - 1;
    const [row, innerA] = transposeA ? [last, last - 1] : [last - 1, last];
    const [innerB, column] = transposeB ? [last, last - 1] : [last - 1, last];
    const leading = [a!, b!].find((cut) => isAxis(cut) && cut < last - 1);
    if (leading !== undefined) return { needs: [leading, leading], cut: leading };
    if (a === row && b === 'whole') return { needs: [a, b], cut: last - 1 };
    if (a === 'whole' && b === column) return { needs: [a, b], cut: last };
    return a === row || b === column ? undefined : { needs: [innerA, innerB], cut: 'sum' };
  },
  conv2d: byBatch(0),
  conv2dGradInput: byBatch(0),
  conv2dGradWeight: (cuts, call) => {
    const passed = byBatch(0, 1)(cuts, call);
    return passed && { ...passed, cut: 'sum' };
  },
  reshape: ([axis], { inputs, attrs, parts }) => {
    const cut = sameCut(inputs[0]!.shape, axis as number, attrs.shape, parts);
    return cut === undefined ? undefined : { needs: [axis!], cut };
  },
  permute: ([axis], { attrs }) => ({ needs: [axis!], cut: attrs.axes.indexOf(axis as number) }),
  pad: (cuts, call) => {
    const { low, high } = call.attrs;
    return alignedExcept(...low.flatMap((n, i) => (n + high[i]! > 0 ? [i] : [])))(cuts, call);
  },
  slice: (cuts, call) =>
    alignedExcept(...call.shape.flatMap((n, i) => (n === call.inputs[0]!.shape[i] ? [] : [i])))(
      cuts,
      call,
    ),
  concat: (cuts, call) => alignedExcept(call.attrs.axis)(cuts, call),
  gather: ([table, indices]) =>
    table === 'whole' ? { needs: [table, indices!], cut: indices! } : undefined,
  scatterAdd: (cuts, call) => {
    const passed = aligned(cuts, call);
    return passed && (passed.cut as number) < call.inputs[1]!.shape.length
      ? { ...passed, cut: 'sum' }
      : undefined;
  },
  // Of what it waits for, a share's own is enough.
  barrier: (cuts) => ({ needs: cuts, cut: cuts[0]! }),
  custom: nowhere,
  composite: (cuts, call) => composites[call.attrs.definition.name]?.(cuts, call),
};

export function passOn<P extends Primitive>(
  op: P,
  cuts: readonly Cut[],
  call: Call<Attributes[P]>,
): Passed | undefined {
  return (rules[op] as Rule<Attributes[P]>)(cuts, call);
}

/** `shape`, its length along `axis` divided by `parts`. */
export const partOf = (shape: Shape, axis: number, parts: number): Shape =>
  shape.map((length, i) => (i === axis ? length / parts : length));

/** The attributes of a node whose result is cut along `axis`. */
export function attributesOfPart<P extends Primitive>(
  op: P,
  attrs: Attributes[P],
  axis: number,
  parts: number,
): Attributes[P] {
  const part = (shape: Shape): Shape => partOf(shape, axis, parts);
  const partType = ({ shape, dtype }: TensorType): TensorType => ({ shape: part(shape), dtype });
  if ('type' in attrs) return { ...attrs, type: partType(attrs.type) };
  if ('outputs' in attrs) return { ...attrs, outputs: attrs.outputs.map(partType) };
  if (op === 'reshape' || op === 'broadcast')
    return { ...attrs, shape: part((attrs as Attributes['reshape']).shape) };
  if (op === 'slice') return { ...attrs, end: part((attrs as Attributes['slice']).end) };
  return attrs;
}
