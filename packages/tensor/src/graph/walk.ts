/** @file Ways through a finished graph: what is needed, who uses what, and copying with replacements. */
import { GraphBuilder } from './builder.ts';
import {
  type AnyNode,
  type Attributes,
  type Graph,
  type NodeId,
  type NodeSink,
  type Primitive,
  sameShape,
  type TensorType,
} from './types.ts';

export const resultsOf = (graph: Graph): NodeId[] => [
  ...Object.values(graph.outputs),
  ...Object.values(graph.updates),
];

/** For each node, whether a result needs it. */
export function needed(graph: Graph): boolean[] {
  const live = new Array<boolean>(graph.nodes.length).fill(false);
  for (const id of resultsOf(graph)) live[id] = true;
  for (let id = graph.nodes.length - 1; id >= 0; id--)
    if (live[id]) for (const input of graph.nodes[id]!.inputs) live[input] = true;
  return live;
}

/** For each node, the needed nodes that read it, once per reading. */
export function usersOf(graph: Graph): NodeId[][] {
  const live = needed(graph);
  const users = graph.nodes.map((): NodeId[] => []);
  graph.nodes.forEach((node, id) => {
    if (live[id]) for (const input of node.inputs) users[input]!.push(id);
  });
  return users;
}

/** Appends a copy of `node` that reads `inputs`. */
export function copyNode(sink: NodeSink, node: AnyNode, inputs: readonly NodeId[]): NodeId {
  return sink.add(node.op as Primitive, inputs, node.attrs as Attributes[Primitive]);
}

/**
 * A new graph in which each needed node is what `rule` makes of it (by default a copy). `rule` sees the inputs as they are in the new graph.
 * Layers, recompute regions and the order of nodes stay. Inputs stay even if nothing needs them: who calls the graph gives them all the same.
 */
export function rewrite(
  graph: Graph,
  rule: (
    builder: GraphBuilder,
    node: AnyNode,
    inputs: readonly NodeId[],
    id: NodeId,
  ) => NodeId | undefined,
): Graph {
  const builder = new GraphBuilder();
  const live = needed(graph);
  const renamed: NodeId[] = [];
  const copy = (node: AnyNode, inputs: readonly NodeId[]): NodeId =>
    builder.add(
      node.op as Primitive,
      inputs,
      node.attrs as Attributes[Primitive],
      inputs.every((input, i) => sameType(builder.node(input), graph.nodes[node.inputs[i]!]!))
        ? node
        : undefined,
    );
  graph.nodes.forEach((node, id) => {
    if (!live[id] && node.op !== 'input') return;
    const inputs = node.inputs.map((input) => renamed[input]!);
    renamed[id] = builder.inPlaceOf(
      node,
      () => rule(builder, node, inputs, id) ?? copy(node, inputs),
    );
  });
  const rename = (results: Readonly<Record<string, NodeId>>) =>
    Object.fromEntries(Object.entries(results).map(([name, id]) => [name, renamed[id]!]));
  return builder.finish(rename(graph.outputs), rename(graph.updates));
}

const sameType = (a: TensorType, b: TensorType): boolean =>
  a.dtype === b.dtype && sameShape(a.shape, b.shape);

/** Spells composites out in primitives, except those that `keep`, told the types of their inputs, says yes to. */
export function expandComposites(
  graph: Graph,
  keep: (node: AnyNode & { op: 'composite' }, inputs: readonly TensorType[]) => boolean = () =>
    false,
): Graph {
  const parts = new Map<NodeId, NodeId[]>();
  const kept = (g: Graph, node: AnyNode & { op: 'composite' }): boolean =>
    keep(
      node,
      node.inputs.map((input) => g.nodes[input]!),
    );
  const expand = (
    builder: GraphBuilder,
    node: AnyNode,
    inputs: readonly NodeId[],
    id: NodeId,
  ): NodeId | undefined => {
    if (node.op === 'part') return parts.get(node.inputs[0]!)?.[node.attrs.index];
    if (node.op !== 'composite' || kept(current, node)) return undefined;
    const outputs = node.attrs.definition.expand(builder, inputs, node.attrs.options);
    parts.set(id, outputs);
    return outputs[0]!;
  };
  let current = graph;
  const unfinished = (g: Graph) =>
    needed(g).some(
      (live, id) =>
        live &&
        g.nodes[id]!.op === 'composite' &&
        !kept(g, g.nodes[id] as AnyNode & { op: 'composite' }),
    );
  while (unfinished(current)) {
    parts.clear();
    current = rewrite(current, expand);
  }
  return current;
}
