/** @file Computes a graph node by node, in its own order. */
import type { Graph, NodeId } from '../../graph/types.ts';
import { needed, resultsOf } from '../../graph/walk.ts';
import { compute, type Given, type Value } from './rules.ts';

/** The values of the results of `graph`, whose composites are spelled out. Throws UserError where an index has no row. */
export function interpret(graph: Graph, given: Given): ReadonlyMap<NodeId, Value> {
  const live = needed(graph);
  const results = resultsOf(graph);
  const lastRead = new Map<NodeId, NodeId>();
  graph.nodes.forEach((node, id) => {
    if (live[id]) for (const input of node.inputs) lastRead.set(input, id);
  });
  for (const id of results) lastRead.delete(id);

  const values = new Map<NodeId, Value>();
  graph.nodes.forEach((node, id) => {
    if (!live[id]) return;
    const inputs = node.inputs.map((input) => values.get(input)!);
    values.set(id, compute(node, inputs, given));
    for (const input of node.inputs) if (lastRead.get(input) === id) values.delete(input);
  });
  return values;
}
