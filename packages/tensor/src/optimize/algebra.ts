/**
 * @file Identities of arithmetic and of moving data: one exhaustive table. Every one holds for NaN and the infinities too; of zeros the sign may change (x + 0 is x, also for -0).
 * None looks through a `barrier`.
 */
import {
  type AnyNode,
  type Attributes,
  type Node,
  type NodeId,
  type NodeSink,
  type Primitive,
  type Shape,
  sameShape,
} from '../graph/types.ts';
import { uniform, uniformValue } from './uniform.ts';

/** What a node is being made of: `node` as it was, `inputs` as they are in the new graph. */
export interface Making<P extends Primitive> {
  readonly builder: NodeSink;
  readonly node: Node<P>;
  readonly inputs: readonly NodeId[];
}
/** A simpler node with the same value; undefined where there is none. */
type Rule<P extends Primitive> = (making: Making<P>) => NodeId | undefined;

const asItIs = (): undefined => undefined;

/** The node behind `id` if it is an `op`. */
function made<P extends Primitive>(
  builder: NodeSink,
  id: NodeId,
  op: P,
): (AnyNode & { op: P }) | undefined {
  const node = builder.node(id);
  return node.op === op ? (node as AnyNode & { op: P }) : undefined;
}
const negated = (builder: NodeSink, id: NodeId): NodeId | undefined =>
  made(builder, id, 'neg')?.inputs[0];

/** f(repeated x) is repeated f(x): computed before repeating, on fewer elements. Uniform operands fit any shape. */
function beforeBroadcast<P extends Primitive>({
  builder,
  node,
  inputs,
}: Making<P>): NodeId | undefined {
  const sources = inputs.map((input) =>
    uniformValue(builder, input) === undefined
      ? made(builder, input, 'broadcast')?.inputs[0]
      : undefined,
  );
  const shapes = sources.flatMap((id) => (id === undefined ? [] : [builder.node(id).shape]));
  const [shape] = shapes;
  const fits = inputs.every(
    (input, i) => sources[i] !== undefined || uniformValue(builder, input) !== undefined,
  );
  if (!shape || !fits || shapes.some((s) => !sameShape(s, shape))) return undefined;
  const small = inputs.map(
    (input, i) =>
      sources[i] ??
      uniform(builder, uniformValue(builder, input)!, { shape, dtype: builder.node(input).dtype }),
  );
  const result = builder.add(node.op, small, node.attrs);
  return builder.add('broadcast', [result], { shape: node.shape });
}

/** Both operands are one tensor. */
const idempotent = <P extends 'maximum' | 'minimum'>(making: Making<P>): NodeId | undefined =>
  making.inputs[0] === making.inputs[1] ? making.inputs[0] : beforeBroadcast(making);

/** The axes of `axes` along which a tensor of `shape` has more than one element. */
const longAxes = (axes: readonly number[], shape: Shape): number[] =>
  axes.filter((a) => shape[a]! > 1);

function reduce<P extends 'reduceSum' | 'reduceMax'>({
  builder,
  node,
  inputs,
}: Making<P>): NodeId | undefined {
  const [x] = inputs as [NodeId];
  const { axes } = node.attrs as Attributes['reduceSum'];
  const { shape } = builder.node(x);
  const long = longAxes(axes, shape);
  if (long.length === 0) return x;
  if (long.length < axes.length) return builder.add(node.op, [x], { axes: long } as Attributes[P]);
  const inner = builder.node(x);
  if (inner.op === node.op) {
    const all = [...new Set([...inner.attrs.axes, ...axes])].sort((a, b) => a - b);
    return builder.add(node.op, [inner.inputs[0]!], { axes: all } as Attributes[P]);
  }
  if (inner.op !== 'broadcast') return undefined;
  // Repeated elements: their sum is a multiple, their largest one of them.
  const source = inner.inputs[0]!;
  const repeated = axes.filter((a) => builder.node(source).shape[a] === 1);
  if (repeated.length === 0) return undefined;
  const rest = axes.filter((a) => !repeated.includes(a));
  const reduced =
    rest.length === 0 ? source : builder.add(node.op, [source], { axes: rest } as Attributes[P]);
  const times = repeated.reduce((n, a) => n * shape[a]!, 1);
  const value =
    node.op === 'reduceMax'
      ? reduced
      : builder.add('mul', [reduced, uniform(builder, times, builder.node(reduced))], {});
  return broadcastTo(builder, value, node.shape);
}
const broadcastTo = (builder: NodeSink, id: NodeId, shape: Shape): NodeId =>
  sameShape(builder.node(id).shape, shape) ? id : builder.add('broadcast', [id], { shape });

/** The same number everywhere stays so wherever its elements are moved. */
const movedUniform = <P extends Primitive>({ builder, node, inputs }: Making<P>) => {
  const value = uniformValue(builder, inputs[0]!);
  return value === undefined ? undefined : uniform(builder, value, node);
};

/** The operand of a transposition of the last two axes. */
function untransposed(builder: NodeSink, id: NodeId): NodeId | undefined {
  const node = made(builder, id, 'permute');
  if (!node) return undefined;
  const rank = node.shape.length;
  const swapped = node.attrs.axes.every(
    (a, i) => a === (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i),
  );
  return swapped ? node.inputs[0] : undefined;
}

const rules: { [P in Primitive]: Rule<P> } = {
  input: asItIs,
  weight: asItIs,
  constant: asItIs,

  neg: (making) => negated(making.builder, making.inputs[0]!) ?? beforeBroadcast(making),
  exp: beforeBroadcast,
  log: beforeBroadcast,
  sqrt: beforeBroadcast,
  sin: beforeBroadcast,
  cos: beforeBroadcast,
  tanh: beforeBroadcast,
  erf: beforeBroadcast,
  sigmoid: beforeBroadcast,
  abs: (making) => {
    const { builder, inputs } = making;
    const inner = negated(builder, inputs[0]!);
    if (inner !== undefined) return builder.add('abs', [inner], {});
    return made(builder, inputs[0]!, 'abs') ? inputs[0] : beforeBroadcast(making);
  },
  sign: beforeBroadcast,

  add: (making) => {
    const { builder, inputs } = making;
    const [a, b] = inputs as [NodeId, NodeId];
    if (uniformValue(builder, a) === 0) return b;
    if (uniformValue(builder, b) === 0) return a;
    const [minusA, minusB] = [negated(builder, a), negated(builder, b)];
    if (minusB !== undefined) return builder.add('sub', [a, minusB], {});
    if (minusA !== undefined) return builder.add('sub', [b, minusA], {});
    return beforeBroadcast(making);
  },
  sub: (making) => {
    const { builder, inputs } = making;
    const [a, b] = inputs as [NodeId, NodeId];
    if (uniformValue(builder, b) === 0) return a;
    const minusB = negated(builder, b);
    return minusB === undefined ? beforeBroadcast(making) : builder.add('add', [a, minusB], {});
  },
  mul: (making) => {
    const { builder, node, inputs } = making;
    for (const [factor, other] of [inputs, [...inputs].reverse()] as [NodeId, NodeId][]) {
      const value = uniformValue(builder, factor);
      if (value === 1) return other;
      if (value === -1 && node.dtype === 'f32') return builder.add('neg', [other], {});
      const inner = negated(builder, other);
      if (inner !== undefined && value !== undefined)
        return builder.add('mul', [inner, uniform(builder, -value, node)], {});
    }
    const [a, b] = inputs.map((input) => negated(builder, input));
    return a === undefined || b === undefined
      ? beforeBroadcast(making)
      : builder.add('mul', [a, b], {});
  },
  div: (making) => {
    const { builder, node, inputs } = making;
    const by = uniformValue(builder, inputs[1]!);
    if (by === 1) return inputs[0];
    return by === -1 && node.dtype === 'f32'
      ? builder.add('neg', [inputs[0]!], {})
      : beforeBroadcast(making);
  },
  pow: (making) => {
    const { builder, node, inputs } = making;
    const exponent = uniformValue(builder, inputs[1]!);
    // Anything to the power 0 is 1, NaN too.
    if (exponent === 0) return uniform(builder, 1, node);
    if (exponent === 1) return inputs[0];
    return exponent === 2
      ? builder.add('mul', [inputs[0]!, inputs[0]!], {})
      : beforeBroadcast(making);
  },
  maximum: idempotent,
  minimum: idempotent,
  less: beforeBroadcast,
  equal: beforeBroadcast,
  where: (making) => {
    const [condition, then, otherwise] = making.inputs;
    if (then === otherwise) return then;
    const value = uniformValue(making.builder, condition!);
    return value === undefined ? beforeBroadcast(making) : value ? then : otherwise;
  },
  cast: (making) => {
    const { builder, node, inputs } = making;
    const x = builder.node(inputs[0]!);
    if (x.dtype === node.dtype) return inputs[0];
    // 0 and 1 are the same in every type.
    const truth = x.op === 'cast' ? x.inputs[0]! : undefined;
    if (truth !== undefined && builder.node(truth).dtype === 'bool' && node.dtype !== 'u8')
      return node.dtype === 'bool' ? truth : builder.add('cast', [truth], node.attrs);
    return beforeBroadcast(making);
  },

  reduceSum: reduce,
  reduceMax: reduce,

  matmul: ({ builder, node, inputs }) => {
    const [a, b] = inputs.map((input) => untransposed(builder, input));
    if (a === undefined && b === undefined) return undefined;
    const { transposeA, transposeB } = node.attrs;
    return builder.add('matmul', [a ?? inputs[0]!, b ?? inputs[1]!], {
      transposeA: transposeA !== (a !== undefined),
      transposeB: transposeB !== (b !== undefined),
    });
  },
  conv2d: asItIs,
  conv2dGradInput: asItIs,
  conv2dGradWeight: asItIs,

  reshape: (making) => {
    const { builder, node, inputs } = making;
    const x = builder.node(inputs[0]!);
    if (sameShape(x.shape, node.shape)) return inputs[0];
    return x.op === 'reshape'
      ? builder.add('reshape', [x.inputs[0]!], node.attrs)
      : movedUniform(making);
  },
  permute: (making) => {
    const { builder, node, inputs } = making;
    const { axes } = node.attrs;
    const x = builder.node(inputs[0]!);
    if (axes.every((a, i) => a === i)) return inputs[0];
    if (x.op === 'permute')
      return builder.add('permute', [x.inputs[0]!], { axes: axes.map((a) => x.attrs.axes[a]!) });
    const long = longAxes(axes, x.shape);
    if (long.every((a, i) => i === 0 || long[i - 1]! < a))
      return builder.add('reshape', [inputs[0]!], { shape: node.shape });
    return movedUniform(making);
  },
  broadcast: ({ builder, node, inputs }) => {
    const x = builder.node(inputs[0]!);
    if (sameShape(x.shape, node.shape)) return inputs[0];
    return x.op === 'broadcast' ? builder.add('broadcast', [x.inputs[0]!], node.attrs) : undefined;
  },
  pad: ({ builder, node, inputs }) => {
    const { low, high } = node.attrs;
    if ([...low, ...high].every((p) => p === 0)) return inputs[0];
    const inner = made(builder, inputs[0]!, 'pad');
    return (
      inner &&
      builder.add('pad', [inner.inputs[0]!], {
        low: low.map((p, i) => p + inner.attrs.low[i]!),
        high: high.map((p, i) => p + inner.attrs.high[i]!),
      })
    );
  },
  slice: (making) => {
    const { builder, node, inputs } = making;
    const { start, end } = node.attrs;
    const x = builder.node(inputs[0]!);
    if (sameShape(x.shape, node.shape)) return inputs[0];
    const shifted = (source: NodeId, by: readonly number[]): NodeId =>
      builder.add('slice', [source], {
        start: start.map((s, i) => s - by[i]!),
        end: end.map((e, i) => e - by[i]!),
      });
    if (x.op === 'slice')
      return shifted(
        x.inputs[0]!,
        x.attrs.start.map((s) => -s),
      );
    if (x.op === 'pad') {
      const { low } = x.attrs;
      const whole = builder.node(x.inputs[0]!).shape;
      const inside = start.every((s, i) => s >= low[i]! && end[i]! <= low[i]! + whole[i]!);
      return inside ? shifted(x.inputs[0]!, low) : undefined;
    }
    if (x.op === 'concat') {
      const { axis } = x.attrs;
      let at = 0;
      for (const part of x.inputs) {
        const length = builder.node(part).shape[axis]!;
        if (start[axis]! >= at && end[axis]! <= at + length)
          return shifted(
            part,
            start.map((_, i) => (i === axis ? at : 0)),
          );
        at += length;
      }
      return undefined;
    }
    return movedUniform(making);
  },
  concat: ({ inputs }) => (inputs.length === 1 ? inputs[0] : undefined),
  gather: asItIs,
  scatterAdd: asItIs,

  stopGradient: ({ inputs }) => inputs[0],
  barrier: asItIs,
  composite: asItIs,
  part: asItIs,
  custom: asItIs,
};

/** A simpler node with the value of `node`, whose inputs are `inputs` now; undefined where there is none. */
export const simplify = (
  builder: NodeSink,
  node: AnyNode,
  inputs: readonly NodeId[],
): NodeId | undefined => (rules[node.op] as Rule<Primitive>)({ builder, node, inputs });
