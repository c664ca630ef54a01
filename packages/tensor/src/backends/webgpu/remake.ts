/**
 * @file What is computed again rather than kept for the gradient: results of norms, what activations make of them, and gated activations. Each costs a few operations an element, its
 * operands are kept anyway, and all of them together are a third of what a step of Stable Diffusion would keep. For graphs whose composites are not spelled out yet.
 */
import type { AnyNode, Graph, NodeId, NodeSink } from '../../graph/types.ts';
import { copyNode, rewrite, usersOf } from '../../graph/walk.ts';
import { elementwise } from '../../optimize/elementwise.ts';
import { Tensor } from '../../trace/tensor.ts';

/** Composites that are functions of single elements. */
const activations = new Set(['silu', 'siluGrad', 'gelu', 'geluGrad']);

const isComposite = (node: AnyNode, name: string): boolean =>
  node.op === 'composite' && node.attrs.definition.name === name;

/**
 * Gives some readers values of their own, computed again: of a group norm that is read by functions of single elements alone, all readers but the first, so that the norm's kernel
 * can take that one in; and of whatever can be remade, each product for a weight's gradient.
 */
export function remake(graph: Graph): Graph {
  const users = usersOf(graph);
  const results = new Set([...Object.values(graph.outputs), ...Object.values(graph.updates)]);
  const node = (id: NodeId): AnyNode => graph.nodes[id]!;
  const single = (id: NodeId): boolean => {
    const n = node(id);
    return (
      elementwise.has(n.op) || (n.op === 'composite' && activations.has(n.attrs.definition.name))
    );
  };
  const normOf = (id: NodeId): 'groupNorm' | 'layerNorm' | undefined => {
    const n = node(id);
    if (n.op !== 'part' || n.attrs.index !== 0) return undefined;
    return (['groupNorm', 'layerNorm'] as const).find((name) =>
      isComposite(node(n.inputs[0]!), name),
    );
  };
  /** Whether the value of `id` is cheaply made of what is kept. */
  const remakable = (id: NodeId): boolean => {
    const n = node(id);
    if (n.op === 'reshape' || n.op === 'permute') return remakable(n.inputs[0]!);
    if (isComposite(n, 'geglu')) return true;
    if (isComposite(n, 'silu')) return normOf(n.inputs[0]!) !== undefined;
    return normOf(id) !== undefined;
  };
  /** By reader: those of its inputs that it gets made again. */
  const again = new Map<NodeId, Set<NodeId>>();
  const give = (reader: NodeId, input: NodeId): void => {
    again.set(reader, (again.get(reader) ?? new Set()).add(input));
  };
  graph.nodes.forEach((n, id) => {
    if (n.op === 'conv2dGradWeight' && remakable(n.inputs[0]!)) give(id, n.inputs[0]!);
    if (n.op === 'matmul' && users[id]!.length > 0)
      n.inputs.forEach((input, k) => {
        if (remakable(input) && isMadeOf(graph, n.inputs[1 - k]!, input)) give(id, input);
      });
    if (normOf(id) !== 'groupNorm' || results.has(id)) return;
    const readers = [...new Set(users[id]!)].sort((a, b) => a - b);
    if (readers.length < 2 || !readers.every(single)) return;
    for (const reader of readers.slice(1)) give(reader, id);
  });
  if (again.size === 0) return graph;
  return rewrite(graph, (builder, n, inputs, id) => {
    const own = again.get(id);
    if (!own) return undefined;
    const remade = n.inputs.map((input, k) =>
      own.has(input) ? remadeIn(builder, inputs[k]!, inputs[1 - k]!) : inputs[k]!,
    );
    return copyNode(builder, n, remade);
  });
}

/** Whether `id` is computed from `source`. */
function isMadeOf({ nodes }: Graph, id: NodeId, source: NodeId): boolean {
  const seen = new Set<NodeId>();
  const left = [id];
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    if (at === source) return true;
    if (at < source || seen.has(at)) continue;
    seen.add(at);
    left.push(...nodes[at]!.inputs);
  }
  return false;
}

/** The value of `id` once more, from what it is made of, not before `ticket` is there. */
function remadeIn(builder: NodeSink, id: NodeId, ticket: NodeId): NodeId {
  const node = builder.node(id);
  if (node.op === 'part') return remadeNorm(builder, id);
  const [input] = node.inputs as [NodeId];
  if (isComposite(node, 'geglu'))
    return copyNode(builder, node, [builder.add('barrier', [input, ticket], {})]);
  return copyNode(builder, node, [remadeIn(builder, input, ticket)]);
}

/** (x - mean) invStd gamma + beta, from the results of a norm of which `id` is the first. */
function remadeNorm(builder: NodeSink, id: NodeId): NodeId {
  const at = builder.node(id).inputs[0]!;
  const norm = builder.node(at) as AnyNode & { op: 'composite' };
  const part = (index: number) => new Tensor(builder, builder.add('part', [at], { index }));
  const [x, gamma, beta] = norm.inputs.map((input) => new Tensor(builder, input));
  const { shape } = x!;
  if (norm.attrs.definition.name === 'layerNorm')
    return x!.sub(part(1)).mul(part(2)).mul(gamma!).add(beta!).id;
  const groups = norm.attrs.options['groups'] as number;
  const channels = [1, shape[1]!, ...shape.slice(2).map(() => 1)];
  return x!
    .reshape([shape[0]!, groups, -1])
    .sub(part(1))
    .mul(part(2))
    .reshape(shape)
    .mul(gamma!.reshape(channels))
    .add(beta!.reshape(channels)).id;
}
