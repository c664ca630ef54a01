/** @file From a graph to an ONNX model: what each primitive becomes. One exhaustive table. */
import { internal } from '../../errors.ts';
import {
  type AnyNode,
  type Attributes,
  type DType,
  type Graph,
  type NodeId,
  type Primitive,
  type Shape,
  sameShape,
  sizeOf,
} from '../../graph/types.ts';
import { expandComposites, needed, usersOf } from '../../graph/walk.ts';
import { compositeLowerings } from './composites.ts';
import { emitConv, emitConvGradInput, emitConvGradWeight, type Size4 } from './convolution.ts';
import { Emitter, type Name } from './emit.ts';
import { type Biased, planBiases } from './fuse.ts';
import type { OnnxModel, OnnxValue } from './onnx.ts';

/** What a rule sees besides its node. */
export interface Lowering {
  readonly emit: Emitter;
  node(id: NodeId): AnyNode;
  /** The ONNX value of a node, of exactly its shape. */
  value(id: NodeId): Name;
  /** The same for an operator that broadcasts by itself: axes may still have length 1. */
  operand(id: NodeId): Name;
  /** A node's value seen in another shape; of a weight, without a copy. */
  reshaped(id: NodeId, shape: Shape): Name;
  /**
   * A frozen kernel [O,C,kh,kw] as a constant [kh kw C, O] (forward), or, its taps in reverse, [kh kw O, C] (flipped);
   * undefined if it is not frozen, or its copy no longer fits into what copies of weights may take.
   */
  tapRows(kernel: NodeId, order: TapOrder): Name | undefined;
  /** How many nodes and results read a node. */
  uses(id: NodeId): number;
}
export type LowerRule<A> = (call: {
  id: NodeId;
  inputs: readonly NodeId[];
  attrs: A;
  shape: Shape;
  dtype: DType;
  at: Lowering;
}) => Name;

/** The two orders of `tapRows`. */
export type TapOrder = 'forward' | 'flipped';

/** How frozen weights become constants of the model; each method declares one and answers its name. */
export interface WeightSource {
  /** The weight in the shape asked for; the same bytes may be declared in several shapes. */
  weight(emit: Emitter, name: string, shape: Shape): Name;
  /** See Lowering.tapRows. */
  tapRows(emit: Emitter, name: string, order: TapOrder): Name;
}

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
const isScalar = (at: Lowering, id: NodeId): boolean => scalarOf(at, id) !== undefined;
/** The number that a node repeats everywhere, if it is a literal. */
const scalarOf = (at: Lowering, id: NodeId): number | undefined => {
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
const onnxType = { f32: 1, i32: 6, bool: 9 } as const;

/** The tensor and the order in which a matrix product may read it without a transposed copy. */
const unswapped = (
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

const rules: { [P in Primitive]: LowerRule<Attributes[P]> } = {
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
  reduceSum: ({ inputs, attrs, at }) =>
    at.emit.node('ReduceSum', [at.value(inputs[0]!), at.emit.i64(attrs.axes)]),
  reduceMax: ({ inputs, attrs, at }) =>
    at.emit.node('ReduceMax', [at.value(inputs[0]!), at.emit.i64(attrs.axes)]),
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
  broadcast: ({ inputs, attrs, at }) =>
    at.emit.node('Expand', [at.value(inputs[0]!), at.emit.i64(attrs.shape)]),
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
    at.emit.node('Gather', [at.value(inputs[0]!), at.value(inputs[1]!)], {
      attributes: { axis: 0 },
    }),
  scatterAdd: ({ inputs, shape, at }) => {
    const e = at.emit;
    const indices = e.node('Unsqueeze', [
      e.node('Cast', [at.value(inputs[1]!)], { attributes: { to: 7 } }),
      e.i64([-1]),
    ]);
    const zeros = e.node('ConstantOfShape', [e.i64(shape)]);
    return e.node('ScatterND', [zeros, indices, at.value(inputs[0]!)], {
      attributes: { reduction: 'add' },
    });
  },
  stopGradient: ({ inputs, at }) => at.value(inputs[0]!),
  // A reshape whose target is known only once the ticket has been computed: free at run time, and opaque to every optimizer. x < x is false, even for NaN.
  barrier: ({ inputs, shape, at }) => {
    const e = at.emit;
    const zeros = inputs.slice(1).map((ticket) => {
      const flat = e.reshape(at.value(ticket), [-1]);
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
};

const unreshaped = (at: Lowering, id: NodeId): NodeId => {
  const node = at.node(id);
  return node.op === 'reshape' ? unreshaped(at, node.inputs[0]!) : id;
};

/** A product with its addends as one operator. */
function lowerBiased(at: Lowering, { product, addends }: Biased, shape: Shape): Name {
  const e = at.emit;
  const channels = product.op === 'conv2d' ? shape[1]! : shape[shape.length - 1]!;
  const [first, ...others] = addends.map((id) => at.reshaped(unreshaped(at, id), [channels]));
  const bias = others.reduce((total, other) => e.node('Add', [total, other]), first!);
  if (product.op === 'conv2d')
    return emitConv(
      at,
      product.inputs[0]!,
      product.inputs[1]!,
      bias,
      product.attrs,
      shape as unknown as Size4,
    );
  const a = unswapped(at, product.inputs[0]!, product.attrs.transposeA);
  const b = unswapped(at, product.inputs[1]!, product.attrs.transposeB);
  const attributes = { transA: Number(a.transposed), transB: Number(b.transposed) };
  const sum = e.node('Gemm', [at.value(a.id), at.value(b.id), bias], { attributes });
  return shape.length === 2 ? sum : e.reshape(sum, shape);
}

/**
 * The whole graph as an ONNX model. Inputs are called `in:NAME`, outputs `out:NAME`, next states `next:NAME`.
 * `packBytes`: memory that rearranged copies of weights may take.
 */
export function lower(graph: Graph, source: WeightSource, packBytes = 0): OnnxModel {
  const spelled = expandComposites(
    graph,
    (node) => compositeLowerings[node.attrs.definition.name] !== undefined,
  );
  const live = needed(spelled);
  const users = usersOf(spelled);
  const { biased, inside } = planBiases(spelled);
  const results = new Map<NodeId, number>();
  for (const id of [...Object.values(spelled.outputs), ...Object.values(spelled.updates)])
    results.set(id, (results.get(id) ?? 0) + 1);
  const emit = new Emitter();
  let copied = 0;
  const copies = new Set<string>();
  const names = new Map<NodeId, Name>();
  const partNames = new Map<NodeId, readonly Name[]>();
  const nodeOf = (id: NodeId): AnyNode => spelled.nodes[id]!;

  const value = (id: NodeId): Name => {
    const known = names.get(id);
    if (known !== undefined) return known;
    const node = nodeOf(id);
    const outer = emit.label;
    emit.label = node.path;
    const name = make(id, node);
    emit.label = outer;
    names.set(id, name);
    return name;
  };
  const at: Lowering = {
    emit,
    node: nodeOf,
    value,
    reshaped: (id, shape) => {
      const node = nodeOf(id);
      if (sameShape(node.shape, shape)) return value(id);
      // ONNX Runtime copies a constant to reshape it; the same bytes declared in another shape cost nothing.
      return node.op === 'weight'
        ? source.weight(emit, node.attrs.name, shape)
        : emit.reshape(value(id), shape);
    },
    tapRows: (id, order) => {
      const node = nodeOf(id);
      const key = `${id} ${order}`;
      const bytes = copies.has(key) ? 0 : 4 * sizeOf(node.shape);
      if (node.op !== 'weight' || copied + bytes > packBytes) return undefined;
      copied += bytes;
      copies.add(key);
      return source.tapRows(emit, node.attrs.name, order);
    },
    operand: (id) => {
      const scalar = scalarOf(at, id);
      if (scalar !== undefined) return emit.f32(scalar);
      const node = nodeOf(id);
      return node.op === 'broadcast' ? at.operand(node.inputs[0]!) : value(id);
    },
    uses: (id) => users[id]!.length + (results.get(id) ?? 0),
  };
  const compositeNames = (id: NodeId): readonly Name[] => {
    const known = partNames.get(id);
    if (known) return known;
    const node = nodeOf(id);
    if (node.op !== 'composite') throw internal(`part of ${node.op}`);
    const made = compositeLowerings[node.attrs.definition.name]!({
      inputs: node.inputs,
      options: node.attrs.options,
      outputs: node.attrs.outputs,
      at,
    });
    partNames.set(id, made);
    return made;
  };
  const make = (id: NodeId, node: AnyNode): Name => {
    if (node.op === 'weight') return source.weight(emit, node.attrs.name, node.shape);
    if (node.op === 'composite') return compositeNames(id)[0]!;
    if (node.op === 'part') return compositeNames(node.inputs[0]!)[node.attrs.index]!;
    const chain = biased.get(id);
    if (chain) return lowerBiased(at, chain, node.shape);
    const rule = (rules as unknown as Record<string, LowerRule<unknown>>)[node.op]!;
    return rule({
      id,
      inputs: node.inputs,
      attrs: node.attrs,
      shape: node.shape,
      dtype: node.dtype,
      at,
    });
  };

  // In the order of the graph, so that the plan of memory follows the order of tracing; nodes that others absorb are left to them.
  spelled.nodes.forEach((node, id) => {
    if (live[id] && !absorbed(node, id)) value(id);
  });
  function absorbed(node: AnyNode, id: NodeId): boolean {
    return (
      node.op === 'broadcast' ||
      node.op === 'permute' ||
      node.op === 'weight' ||
      node.op === 'constant' ||
      inside.has(id)
    );
  }

  const inputs: OnnxValue[] = [];
  spelled.nodes.forEach((node, id) => {
    if (live[id] && node.op === 'input')
      inputs.push({ name: `in:${node.attrs.name}`, type: node.dtype, shape: node.shape });
  });
  const outputs: OnnxValue[] = [];
  const give = (prefix: string, ids: Readonly<Record<string, NodeId>>) => {
    for (const [name, id] of Object.entries(ids)) {
      const source = value(id);
      const node = nodeOf(id);
      emit.nodes.push({
        opType: 'Identity',
        domain: '',
        name: `${prefix}${name}`,
        inputs: [source],
        outputs: [`${prefix}${name}`],
        attributes: {},
      });
      outputs.push({ name: `${prefix}${name}`, type: node.dtype, shape: node.shape });
    }
  };
  give('out:', spelled.outputs);
  give('next:', spelled.updates);
  const packed = choosePacked(emit.packable, packBytes - copied);
  const plain = new Set(
    emit.initializers
      .filter((i) => 'external' in i && !i.rearranged && !packed.has(i.name))
      .map((i) => i.name),
  );
  return withoutDeadNodes({
    nodes: emit.nodes,
    initializers: emit.initializers,
    inputs,
    outputs,
    plain,
  });
}

/** Those worth most by the byte, as many as fit into `budget` bytes. */
export function choosePacked(candidates: Emitter['packable'], budget: number): ReadonlySet<Name> {
  const chosen = new Set<Name>();
  let left = budget;
  for (const [name, { bytes }] of [...candidates].sort(
    ([, a], [, b]) => b.gain - a.gain || a.bytes - b.bytes,
  )) {
    if (bytes > left) continue;
    left -= bytes;
    chosen.add(name);
  }
  return chosen;
}

/** ONNX Runtime computes every node of a model, needed or not. */
function withoutDeadNodes(model: OnnxModel): OnnxModel {
  const read = new Set(model.outputs.map((o) => o.name));
  const nodes = [...model.nodes].reverse().filter((node) => {
    const live = node.outputs.some((o) => read.has(o));
    if (live) for (const input of node.inputs) read.add(input);
    return live;
  });
  return {
    ...model,
    nodes: nodes.reverse(),
    initializers: model.initializers.filter((i) => read.has(i.name)),
  };
}
