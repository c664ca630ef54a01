/** @file What each primitive becomes: one exhaustive table. */
import { internal } from '../../errors.ts';
import type { Attributes, NodeId, Primitive, Shape } from '../../graph/types.ts';
import { givenIn } from '../../host/rowNumbers.ts';
import { emitConv, emitConvGradInput } from './convolution.ts';
import { emitConvGradWeight } from './gradWeight.ts';
import type { Emitter, Name } from './emit.ts';
import type { Lowering, LowerRule, Size4 } from './lowering.ts';

const elementwise =
  (opType: string): LowerRule<object> =>
  ({ inputs, at }) =>
    at.emit.node(opType, [at.value(inputs[0]!)]);
const broadcasting =
  (opType: string): LowerRule<object> =>
  ({ inputs, shape, at }) => {
    const operands = inputs.map((i) => at.operand(i));
    // A scalar constant has lost its rank; one operand must still have it, and every length.
    const covered =
      inputs.some((i) => !isScalar(at, i)) &&
      shape.every((d, axis) => d === 1 || inputs.some((i) => sourceShape(at, i)[axis] === d));
    return at.emit.node(opType, covered ? operands : [at.value(inputs[0]!), ...operands.slice(1)]);
  };
/**
 * Row numbers for ONNX, which takes negative ones for rows counted from the end. Those that are given are looked at in every call; from others that are negative a whole
 * table is taken off, so that ONNX Runtime refuses them.
 */
function rowNumbers(at: Lowering, id: NodeId, rows: number): Name {
  const value = at.value(id);
  if (givenIn((one) => at.node(one), id) !== undefined) return value;
  const e = at.emit;
  const number = (n: number): Name =>
    e.constant('i32', [], new Uint8Array(Int32Array.of(n).buffer));
  const negative = e.node('Less', [value, number(0)]);
  return e.node('Where', [negative, e.node('Sub', [value, number(rows)]), value]);
}
const isScalar = (at: Lowering, id: NodeId): boolean => scalarOf(at, id) !== undefined;
/** The number that a node repeats everywhere, if it is a literal. */
export const scalarOf = (at: Lowering, id: NodeId): number | undefined => {
  const node = at.node(id);
  if (node.op === 'broadcast' || node.op === 'reshape') return scalarOf(at, node.inputs[0]!);
  return node.op === 'constant' && node.dtype === 'f32' && node.attrs.data.length === 1
    ? node.attrs.data[0]
    : undefined;
};
const sourceShape = (at: Lowering, id: NodeId): Shape => {
  const node = at.node(id);
  return node.op === 'broadcast' ? sourceShape(at, node.inputs[0]!) : node.shape;
};
/** Without axes it changes nothing. */
const reduce = (e: Emitter, opType: string, x: Name, { axes }: { axes: readonly number[] }): Name =>
  e.node(opType, [x, e.i64(axes)], { attributes: { noop_with_empty_axes: 1 } });
const onnxType = { f32: 1, u8: 2, i32: 6, bool: 9 } as const;

/** How many times each pixel is repeated, where [N,C,H,1,W,1] becomes [N,C,H,sy,W,sx]: ONNX Runtime repeats single numbers slowly, and enlarges pictures fast. */
const pixelScale = (from: Shape, to: Shape): [number, number] | undefined => {
  const isPixels =
    from.length === 6 &&
    from.every((d, axis) => (axis === 3 || axis === 5 ? d === 1 : d === to[axis]));
  return isPixels ? [to[3]!, to[5]!] : undefined;
};

/** The tensor and the order in which a matrix product may read it without a transposed copy. */
export const unswapped = (
  at: Lowering,
  id: NodeId,
  transposed: boolean,
): { id: NodeId; transposed: boolean } => {
  const node = at.node(id);
  if (node.op !== 'permute') return { id, transposed };
  const { axes } = node.attrs;
  const last = axes.length - 1;
  const swapsLast = axes.every((a, i) => a === (i === last ? last - 1 : i === last - 1 ? last : i));
  return swapsLast ? { id: node.inputs[0]!, transposed: !transposed } : { id, transposed };
};

export const rules: { [P in Primitive]: LowerRule<Attributes[P]> } = {
  input: ({ attrs }) => `in:${attrs.name}`,
  weight: () => {
    throw internal('weights are declared by their own emitter');
  },
  constant: ({ attrs: { data, type }, at }) => {
    const full =
      data.length === 1 && type.shape.length > 0
        ? new Array<number>(type.shape.reduce((n, d) => n * d, 1)).fill(data[0]!)
        : data;
    const array =
      type.dtype === 'f32'
        ? new Float32Array(full)
        : type.dtype === 'i32'
          ? new Int32Array(full)
          : new Uint8Array(full);
    return at.emit.constant(type.dtype, type.shape, new Uint8Array(array.buffer));
  },
  neg: elementwise('Neg'),
  exp: elementwise('Exp'),
  log: elementwise('Log'),
  sqrt: elementwise('Sqrt'),
  sin: elementwise('Sin'),
  cos: elementwise('Cos'),
  tanh: elementwise('Tanh'),
  erf: elementwise('Erf'),
  sigmoid: elementwise('Sigmoid'),
  abs: elementwise('Abs'),
  sign: elementwise('Sign'),
  add: broadcasting('Add'),
  sub: broadcasting('Sub'),
  mul: broadcasting('Mul'),
  div: broadcasting('Div'),
  pow: broadcasting('Pow'),
  maximum: broadcasting('Max'),
  minimum: broadcasting('Min'),
  less: broadcasting('Less'),
  equal: broadcasting('Equal'),
  where: broadcasting('Where'),
  cast: ({ inputs, attrs, at }) =>
    at.emit.node('Cast', [at.value(inputs[0]!)], { attributes: { to: onnxType[attrs.dtype] } }),
  reduceSum: ({ inputs, attrs, at }) => reduce(at.emit, 'ReduceSum', at.value(inputs[0]!), attrs),
  reduceMax: ({ inputs, attrs, dtype, at }) => {
    const e = at.emit;
    const x = at.value(inputs[0]!);
    const largest = reduce(e, 'ReduceMax', x, attrs);
    if (dtype !== 'f32') return largest;
    // ONNX Runtime's maximum passes over NaN.
    const isNaN = e.node('Cast', [e.node('IsNaN', [x])], { attributes: { to: onnxType.f32 } });
    const found = e.node('Cast', [reduce(e, 'ReduceMax', isNaN, attrs)], {
      attributes: { to: onnxType.bool },
    });
    return e.node('Where', [found, e.f32(Number.NaN), largest]);
  },
  matmul: ({ inputs, attrs, at }) => {
    const a = unswapped(at, inputs[0]!, attrs.transposeA);
    const b = unswapped(at, inputs[1]!, attrs.transposeB);
    return at.emit.matmul(at.value(a.id), at.value(b.id), {
      transA: a.transposed,
      transB: b.transposed,
    });
  },
  conv2d: ({ inputs, attrs, shape, at }) =>
    emitConv(at, inputs[0]!, inputs[1]!, undefined, attrs, shape as unknown as Size4),
  conv2dGradInput: ({ inputs, attrs, at }) => emitConvGradInput(at, inputs[0]!, inputs[1]!, attrs),
  conv2dGradWeight: ({ inputs, attrs, at }) =>
    emitConvGradWeight(at, inputs[0]!, inputs[1]!, attrs),
  reshape: ({ inputs, attrs, at }) => at.reshaped(inputs[0]!, attrs.shape),
  permute: ({ inputs, attrs, at }) => at.emit.transpose(at.value(inputs[0]!), attrs.axes),
  broadcast: ({ inputs, attrs, at }) => {
    const e = at.emit;
    const scale = pixelScale(at.node(inputs[0]!).shape, attrs.shape);
    if (!scale || at.node(inputs[0]!).dtype !== 'f32')
      return e.node('Expand', [at.value(inputs[0]!), e.i64(attrs.shape)]);
    const [n, c, h, , w] = attrs.shape;
    const attributes = {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    };
    const larger = e.node(
      'Resize',
      [at.reshaped(inputs[0]!, [n!, c!, h!, w!]), '', e.f32([1, 1, ...scale])],
      { attributes },
    );
    return e.reshape(larger, attrs.shape);
  },
  pad: ({ inputs, attrs, at }) =>
    at.emit.node('Pad', [at.value(inputs[0]!), at.emit.i64([...attrs.low, ...attrs.high])]),
  slice: ({ inputs, attrs: { start, end }, at }) => {
    const shape = at.node(inputs[0]!).shape;
    const cut = shape.map((_, i) => i).filter((i) => start[i] !== 0 || end[i] !== shape[i]);
    return at.emit.slice(
      at.value(inputs[0]!),
      cut,
      cut.map((i) => start[i]!),
      cut.map((i) => end[i]!),
    );
  },
  concat: ({ inputs, attrs, at }) =>
    at.emit.node(
      'Concat',
      inputs.map((i) => at.value(i)),
      { attributes: { axis: attrs.axis } },
    ),
  gather: ({ inputs, at }) =>
    at.emit.node(
      'Gather',
      [at.value(inputs[0]!), rowNumbers(at, inputs[1]!, at.node(inputs[0]!).shape[0]!)],
      { attributes: { axis: 0 } },
    ),
  // ScatterND adds on several threads at once and loses sums where a row occurs twice; ScatterElements goes element by element, in order.
  scatterAdd: ({ inputs, shape: [rows, ...row], at }) => {
    const e = at.emit;
    const width = row.reduce((n, d) => n * d, 1);
    const count = at.node(inputs[1]!).shape.reduce((n, d) => n * d, 1);
    const indices = e.node('Expand', [
      e.reshape(rowNumbers(at, inputs[1]!, rows!), [count, 1]),
      e.i64([count, width]),
    ]);
    const sums = e.node(
      'ScatterElements',
      [
        e.node('ConstantOfShape', [e.i64([rows!, width])]),
        indices,
        e.reshape(at.value(inputs[0]!), [count, width]),
      ],
      { attributes: { axis: 0, reduction: 'add' } },
    );
    return e.reshape(sums, [rows!, ...row]);
  },
  stopGradient: ({ inputs, at }) => at.value(inputs[0]!),
  // A reshape whose target is known only once the ticket has been computed: free at run time, and opaque to every optimizer. x < x is false, even for NaN.
  barrier: ({ inputs, shape, at }) => {
    const e = at.emit;
    const zeros = inputs.slice(1).map((ticket) => {
      const known = at.value(ticket);
      const comparable =
        at.node(ticket).dtype === 'bool' || at.node(ticket).dtype === 'u8'
          ? e.node('Cast', [known], { attributes: { to: onnxType.i32 } })
          : known;
      const flat = e.reshape(comparable, [-1]);
      const first = e.slice(flat, [0], [0], [1]);
      return e.node('Cast', [e.node('Less', [first, first])], { attributes: { to: 7 } });
    });
    return e.node('Reshape', [
      at.value(inputs[0]!),
      zeros.reduce((target, zero) => e.node('Add', [target, zero]), e.i64(shape)),
    ]);
  },
  composite: () => {
    throw internal('composites are lowered with all their results at once');
  },
  part: () => {
    throw internal('parts are named when their composite is lowered');
  },
  custom: () => {
    throw internal('custom operations are done between models');
  },
};
