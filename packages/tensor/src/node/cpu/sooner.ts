/** @file Sums that are to be computed as soon as they can be, so that what they read need not wait for them in memory. */
import { type Graph, type NodeId, sizeOf } from '../../graph/types.ts';
import { usersOf } from '../../graph/walk.ts';
import { expressions } from './updates/expressions.ts';

/**
 * Reductions by the node after which they can be computed, where that is not the one before them in the graph: those of one node, or of what element-wise nodes make of
 * it for nobody else. The squares of all gradients, whose sum clips them, are traced when there are all gradients.
 */
export function soonerReductions(graph: Graph): ReadonlyMap<NodeId, readonly NodeId[]> {
  const users = usersOf(graph);
  const results = new Set([...Object.values(graph.outputs), ...Object.values(graph.updates)]);
  /** The last node that is there before this reduction and what only it reads. */
  const readyAfter = (id: NodeId): NodeId =>
    Math.max(
      ...graph.nodes[id]!.inputs.map((input) => {
        const own =
          expressions[graph.nodes[input]!.op] !== undefined &&
          users[input]!.length === 1 &&
          !results.has(input);
        return own ? readyAfter(input) : input;
      }),
    );
  const sooner = new Map<NodeId, NodeId[]>();
  graph.nodes.forEach((node, id) => {
    if (node.op !== 'reduceSum' && node.op !== 'reduceMax') return;
    if (2 * sizeOf(node.shape) > sizeOf(graph.nodes[node.inputs[0]!]!.shape)) return;
    const after = readyAfter(id);
    sooner.set(after, [...(sooner.get(after) ?? []), id]);
  });
  return sooner;
}
