/** @file Additions that a convolution or a matrix product takes along as its bias. */
import { type AnyNode, type Graph, type NodeId, type Shape, sizeOf } from '../../graph/types.ts';
import { usersOf } from '../../graph/walk.ts';

/** A product and the per-channel addends that go with it. */
export interface Biased {
  readonly product: AnyNode & { op: 'conv2d' | 'matmul' };
  /** Each holds one number a channel. */
  readonly addends: readonly NodeId[];
}

/**
 * For each addition that ends such a chain, what it is; and the nodes inside of chains, which are never computed by themselves.
 * A chain: a product read once, seen through reshapes that keep its last axis, plus addends that are the same for every row (matmul) or picture and pixel (conv2d).
 */
export function planBiases(graph: Graph): {
  biased: ReadonlyMap<NodeId, Biased>;
  inside: ReadonlySet<NodeId>;
} {
  const users = usersOf(graph);
  const kept = new Set([...Object.values(graph.outputs), ...Object.values(graph.updates)]);
  const nodeOf = (id: NodeId): AnyNode => graph.nodes[id]!;
  const biased = new Map<NodeId, Biased>();
  const inside = new Set<NodeId>();

  const follow = (id: NodeId, swallowed: NodeId[]): Biased | undefined => {
    if (users[id]!.length !== 1 || kept.has(id)) return undefined;
    swallowed.push(id);
    return chain(id, swallowed);
  };
  const chain = (id: NodeId, swallowed: NodeId[]): Biased | undefined => {
    const node = nodeOf(id);
    if (node.op === 'conv2d') return { product: node, addends: [] };
    if (node.op === 'matmul')
      return node.shape.length === 2 ? { product: node, addends: [] } : undefined;
    if (node.op === 'reshape') {
      const inner = follow(node.inputs[0]!, swallowed);
      return inner?.product.op === 'matmul' && lastOf(node.shape) === lastOf(inner.product.shape)
        ? inner
        : undefined;
    }
    return node.op === 'add' ? sum(node, swallowed) : undefined;
  };
  const sum = (node: AnyNode & { op: 'add' }, swallowed: NodeId[]): Biased | undefined => {
    for (const [main, other] of [node.inputs, [...node.inputs].reverse()] as [NodeId, NodeId][]) {
      const addend = nodeOf(other);
      if (addend.op !== 'broadcast') continue;
      const source = nodeOf(addend.inputs[0]!).shape;
      const tried: NodeId[] = [];
      const inner = follow(main, tried);
      if (!inner || !isPerChannel(inner.product.op, source, node.shape)) continue;
      swallowed.push(...tried);
      return { ...inner, addends: [...inner.addends, addend.inputs[0]!] };
    }
    return undefined;
  };

  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const node = nodeOf(id);
    if (node.op !== 'add' || inside.has(id) || (users[id]!.length === 0 && !kept.has(id))) continue;
    const swallowed: NodeId[] = [];
    const found = sum(node, swallowed);
    if (!found) continue;
    biased.set(id, found);
    for (const one of swallowed) inside.add(one);
  }
  return { biased, inside };
}

const lastOf = (shape: Shape): number => shape[shape.length - 1]!;

function isPerChannel(op: 'conv2d' | 'matmul', source: Shape, shape: Shape): boolean {
  const axis = op === 'conv2d' ? 1 : shape.length - 1;
  return source[axis] === shape[axis] && sizeOf(source) === shape[axis];
}
