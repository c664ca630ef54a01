/** @file How each tensor of a graph is stored: one pure function. */
import {
  type AnyNode,
  type DType,
  type Graph,
  type NodeId,
  type Primitive,
  sizeOf,
} from '../../graph/types.ts';
import { needed } from '../../graph/walk.ts';
import { elementwise } from '../../optimize/elementwise.ts';
import type { Storage } from './kernel.ts';

/** `f16`: activations and frozen weights take half the memory; all is computed in f32 nevertheless, and what is trained, gradients of it and small tensors stay f32. */
export type Precision = 'f32' | 'f16';

const plain: Readonly<Record<DType, Storage>> = { f32: 'f32', i32: 'i32', u8: 'u32', bool: 'u32' };
/** Tensors with fewer elements stay f32. */
const LEAST = 256;
/** Results of reductions that are so much smaller than what they were made of stay f32. */
const SMALL = 32;

const movement: ReadonlySet<Primitive> = new Set<Primitive>([
  ...([
    'reshape',
    'permute',
    'broadcast',
    'slice',
    'pad',
    'concat',
    'stopGradient',
    'barrier',
  ] as const),
]);

/** By node. */
export function storageOf(graph: Graph, precision: Precision): Storage[] {
  const storage = graph.nodes.map((node): Storage => {
    const isState = node.op === 'input' && node.attrs.state;
    return isState && node.dtype === 'u8' ? 'u8' : plain[node.dtype];
  });
  if (precision === 'f32') return storage;
  const exact = new Set<NodeId>(Object.values(graph.outputs));
  const live = needed(graph);
  // From next states back to the products, convolutions and sums that gradients come out of.
  const left = Object.values(graph.updates);
  const seen = new Set<NodeId>();
  while (left.length > 0) {
    const id = left.pop()!;
    if (seen.has(id)) continue;
    seen.add(id);
    exact.add(id);
    const node = graph.nodes[id]!;
    if (elementwise.has(node.op) || movement.has(node.op)) left.push(...node.inputs);
  }
  const half = (node: AnyNode, id: NodeId): boolean => {
    if (!live[id] || node.dtype !== 'f32' || exact.has(id) || sizeOf(node.shape) < LEAST)
      return false;
    if (node.op === 'input' || node.op === 'constant' || node.op === 'custom') return false;
    // Sums of squares leave the range of f16.
    if (node.op === 'composite' && node.attrs.definition.name === 'squaredNorms') return false;
    if (node.op === 'part')
      return node.attrs.index === 0 || !carriesMoments(graph, node.inputs[0]!);
    if (node.op === 'reduceSum' || node.op === 'reduceMax')
      return sizeOf(node.shape) * SMALL > sizeOf(graph.nodes[node.inputs[0]!]!.shape);
    return true;
  };
  return graph.nodes.map((node, id) => (half(node, id) ? 'f16' : storage[id]!));
}

/** Whether the results of a composite after the first are a mean and an inverse deviation. */
function carriesMoments(graph: Graph, id: NodeId): boolean {
  const node = graph.nodes[id]!;
  return (
    node.op === 'composite' &&
    node.attrs.outputs.length === 3 &&
    /Norm$/.test(node.attrs.definition.name)
  );
}
