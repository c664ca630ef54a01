/** @file What is computed again rather than kept: a group norm's result, where its gradient reads it too, so that what follows the norm can be done in its kernel. */
import type { AnyNode, Graph, NodeId } from '../../graph/types.ts';
import { rewrite, usersOf } from '../../graph/walk.ts';
import { elementwise } from '../../optimize/elementwise.ts';
import { Tensor } from '../../trace/tensor.ts';

/** Composites that are functions of single elements. */
const activations = new Set(['silu', 'siluGrad', 'gelu', 'geluGrad']);

/**
 * Where all readers of a group norm's result are functions of single elements, those after the first read (x - mean) invStd gamma + beta instead: the norm then has one reader, which its
 * kernel can take in. For graphs whose composites are not spelled out yet: afterwards what both readers compute is one node.
 */
export function remakeNorms(graph: Graph): Graph {
  const users = usersOf(graph);
  const results = new Set([...Object.values(graph.outputs), ...Object.values(graph.updates)]);
  const single = (id: NodeId): boolean => {
    const node = graph.nodes[id]!;
    return (
      elementwise.has(node.op) ||
      (node.op === 'composite' && activations.has(node.attrs.definition.name))
    );
  };
  /** By reader and what it reads: the norm whose result it makes again. */
  const again = new Map<NodeId, Map<NodeId, NodeId>>();
  graph.nodes.forEach((node, id) => {
    if (node.op !== 'part' || node.attrs.index !== 0 || results.has(id)) return;
    const norm = graph.nodes[node.inputs[0]!]!;
    if (norm.op !== 'composite' || norm.attrs.definition.name !== 'groupNorm') return;
    const readers = [...new Set(users[id]!)].sort((a, b) => a - b);
    if (readers.length < 2 || !readers.every(single)) return;
    for (const reader of readers.slice(1)) {
      const own = again.get(reader) ?? new Map<NodeId, NodeId>();
      again.set(reader, own.set(id, node.inputs[0]!));
    }
  });
  if (again.size === 0) return graph;
  return rewrite(graph, (builder, node, inputs, id) => {
    const own = again.get(id);
    if (!own) return undefined;
    const replaced = node.inputs.map((input, n) => {
      const normId = own.get(input);
      if (normId === undefined) return inputs[n]!;
      const norm = graph.nodes[normId] as AnyNode & { op: 'composite' };
      const made = builder.node(inputs[n]!);
      const at = made.inputs[0]!;
      const part = (index: number) => new Tensor(builder, builder.add('part', [at], { index }));
      const [x, gamma, beta] = builder.node(at).inputs.map((i) => new Tensor(builder, i));
      const { shape } = x!;
      const groups = norm.attrs.options['groups'] as number;
      const channels = [1, shape[1]!, ...shape.slice(2).map(() => 1)];
      return x!
        .reshape([shape[0]!, groups, -1])
        .sub(part(1))
        .mul(part(2))
        .reshape(shape)
        .mul(gamma!.reshape(channels))
        .add(beta!.reshape(channels)).id;
    });
    return builder.add(node.op, replaced, node.attrs as never);
  });
}
