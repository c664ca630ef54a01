import type { Graph, NodeId } from '../../src/graph/types.ts';
import { copyNode } from '../../src/graph/walk.ts';
import { Tensor, type Tracer } from '../../src/index.ts';

/** The results of `graph` with `inputs` in place of its inputs, as part of what `t` traces. */
export function inline(
  t: Tracer,
  graph: Graph,
  inputs: Readonly<Record<string, Tensor>>,
): Record<string, Tensor> {
  const ids: NodeId[] = [];
  for (const node of graph.nodes)
    ids.push(
      node.op === 'input'
        ? inputs[node.attrs.name]!.id
        : copyNode(
            t.builder,
            node,
            node.inputs.map((i) => ids[i]!),
          ),
    );
  return Object.fromEntries(
    Object.entries(graph.outputs).map(([name, id]) => [name, new Tensor(t.builder, ids[id]!)]),
  );
}
