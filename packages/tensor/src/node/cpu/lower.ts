/** @file From a graph to an ONNX model. */
import { internal } from '../../errors.ts';
import {
  type AnyNode,
  type Graph,
  type NodeId,
  type Shape,
  sameShape,
  sizeOf,
} from '../../graph/types.ts';
import { expandComposites, needed } from '../../graph/walk.ts';
import { compositeLowerings } from './composites.ts';
import { emitConv } from './convolution.ts';
import { Emitter, type Name } from './emit.ts';
import { type Biased, planBiases } from './fuse.ts';
import { emitHalves, emitHalvesGradient, emitLeaving, planHalves } from './halves.ts';
import type { Lowering, LowerRule, Size4, WeightSource } from './lowering.ts';
import type { OnnxModel, OnnxNode, OnnxValue } from './onnx.ts';
import { inOrder } from './order.ts';
import { choosePacked } from './copies.ts';
import { rules, scalarOf, unswapped } from './rules.ts';
import { soonerReductions } from './sooner.ts';
import { bytesInTiles, kernelsInTiles } from './winograd.ts';

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

export interface LowerOptions {
  /** Bytes that rearranged copies of weights may take. */
  readonly packBytes: number;
  /** Bytes of attention scores that a gradient may hold at a time. */
  readonly chunkBytes: number;
  /** Bytes of attention scores that a gradient works on at a time where one thread computes an operator. */
  readonly tileBytes: number;
}
export interface Lowered {
  readonly model: OnnxModel;
  /** Bytes of rearranged copies of weights. */
  readonly copiedBytes: number;
}

/** The graph with composites spelled out, but for those that there are operators for. */
export const spellOut = (graph: Graph): Graph =>
  expandComposites(graph, (node) => compositeLowerings[node.attrs.definition.name] !== undefined);

/**
 * The whole graph, spelled out, as an ONNX model. Inputs are called `in:NAME`, outputs `out:NAME`, next states `next:NAME`.
 *
 * @param session `prepacking`: whether operators may keep rearranged copies of weights; `threads`: how many share an operator
 */
export function lower(
  spelled: Graph,
  source: WeightSource,
  { packBytes, chunkBytes, tileBytes }: LowerOptions,
  session: { readonly prepacking: boolean; readonly threads?: number | undefined },
): Lowered {
  const live = needed(spelled);
  const { biased, inside } = planBiases(spelled);
  const oneThread = session.threads === 1;
  const atATime = oneThread ? tileBytes : Number.POSITIVE_INFINITY;
  // Half as much: more of them are alive at once.
  const halved = planHalves(spelled, biased, atATime / 2);
  const emit = new Emitter();
  let copied = 0;
  const copies = new Set<string>();
  const inTiles = kernelsInTiles(spelled, live, packBytes);
  const names = new Map<NodeId, Name>();
  const partNames = new Map<NodeId, readonly Name[]>();
  const halves = new Map<NodeId, ReturnType<typeof emitHalves>>();
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
    rows: (id, from, count) => {
      const node = nodeOf(id);
      if (node.op !== 'weight') throw internal(`rows of ${node.op}`);
      return source.rows(emit, node.attrs.name, node.shape, from, count);
    },
    halves: (id) => {
      const linear = halved.linears.get(id);
      if (!linear) return undefined;
      const known = halves.get(id) ?? emitHalves(at, linear);
      halves.set(id, known);
      return known;
    },
    rearranged: (id, order) => {
      const node = nodeOf(id);
      if (node.op !== 'weight') return undefined;
      const { name } = node.attrs;
      const isInTiles = order === 'tiles';
      if (isInTiles && !inTiles.has(name)) return undefined;
      const key = `${name} ${order}`;
      const shape = node.shape as unknown as Size4;
      const bytes = copies.has(key) ? 0 : isInTiles ? bytesInTiles(shape) : 4 * sizeOf(shape);
      if (copied + bytes > packBytes) return undefined;
      const copy = source.rearranged(emit, name, order);
      if (copy === undefined) return undefined;
      copied += bytes;
      copies.add(key);
      return copy;
    },
    operand: (id) => {
      const scalar = scalarOf(at, id);
      if (scalar !== undefined) return emit.f32(scalar);
      const node = nodeOf(id);
      return node.op === 'broadcast' ? at.operand(node.inputs[0]!) : value(id);
    },
    chunkBytes,
    tileBytes: atATime,
    oneThread,
    prepacking: session.prepacking,
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
    const gradient = halved.gradients.get(id);
    if (gradient) return emitHalvesGradient(at, gradient);
    const leaving = halved.leaving.get(id);
    if (leaving) return emit.reshape(emitLeaving(at, leaving), node.shape);
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
  const sooner = soonerReductions(spelled);
  spelled.nodes.forEach((node, id) => {
    if (live[id] && !absorbed(node, id)) value(id);
    for (const reduction of sooner.get(id) ?? []) if (live[reduction]) value(reduction);
  });
  function absorbed(node: AnyNode, id: NodeId): boolean {
    return (
      node.op === 'broadcast' ||
      node.op === 'permute' ||
      node.op === 'weight' ||
      node.op === 'constant' ||
      inside.has(id) ||
      halved.inside.has(id)
    );
  }

  const inputs: OnnxValue[] = [];
  spelled.nodes.forEach((node, id) => {
    if (live[id] && node.op === 'input')
      inputs.push({ name: `in:${node.attrs.name}`, type: node.dtype, shape: node.shape });
  });
  const outputs: OnnxValue[] = [];
  const sources = new Map<Name, Name>();
  const give = (prefix: string, ids: Readonly<Record<string, NodeId>>) => {
    for (const [name, id] of Object.entries(ids)) {
      const { dtype: type, shape } = nodeOf(id);
      sources.set(`${prefix}${name}`, value(id));
      outputs.push({ name: `${prefix}${name}`, type, shape });
    }
  };
  give('out:', spelled.outputs);
  give('next:', spelled.updates);
  const packed = choosePacked(emit.packable, session.prepacking ? packBytes - copied : 0);
  for (const name of packed) copied += emit.packable.get(name)!.bytes;
  const plain = new Set(
    emit.initializers
      .filter((i) => 'external' in i && !i.rearranged && !packed.has(i.name))
      .map((i) => i.name),
  );
  const { nodes, ...rest } = withoutDeadNodes({
    nodes: withResults(emit.nodes, sources),
    initializers: emit.initializers,
    inputs: [...inputs, ...emit.inputs],
    outputs,
    plain,
  });
  return { model: { ...rest, nodes: inOrder(nodes) }, copiedBytes: copied };
}

/** The nodes, each result computed right where it is wanted: ONNX Runtime writes it into the caller's memory. `sources`: from results to values. */
function withResults(nodes: readonly OnnxNode[], sources: ReadonlyMap<Name, Name>): OnnxNode[] {
  const computed = new Set(nodes.flatMap((node) => node.outputs));
  const renamed = new Map<Name, Name>();
  const copies: OnnxNode[] = [];
  for (const [result, source] of sources) {
    if (computed.has(source) && !renamed.has(source)) renamed.set(source, result);
    else
      copies.push({
        opType: 'Identity',
        domain: '',
        name: result,
        inputs: [renamed.get(source) ?? source],
        outputs: [result],
        attributes: {},
      });
  }
  const rename = (names: readonly Name[]) => names.map((name) => renamed.get(name) ?? name);
  return [
    ...nodes.map((node) => ({
      ...node,
      inputs: rename(node.inputs),
      outputs: rename(node.outputs),
    })),
    ...copies,
  ];
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
    inputs: model.inputs.filter((i) => read.has(i.name)),
  };
}
