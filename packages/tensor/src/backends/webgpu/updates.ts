/** @file The end of a training step, where states get their next values element by element: which of them are computed together, in place. */
import { type AnyNode, type Graph, type NodeId, sameShape, sizeOf } from '../../graph/types.ts';
import { elementwise } from '../../optimize/elementwise.ts';

/** Next values that hang together: they share nodes, or read one another's old values. */
export interface UpdateGroup {
  /** By the name of the state, the node that becomes its value. */
  readonly roots: ReadonlyMap<string, NodeId>;
  /** Nodes that nothing else reads. */
  readonly inside: ReadonlySet<NodeId>;
  readonly size: number;
}

export function updateGroups(
  graph: Graph,
  users: readonly (readonly NodeId[])[],
  outputs: ReadonlySet<NodeId>,
): UpdateGroup[] {
  const node = (id: NodeId): AnyNode => graph.nodes[id]!;
  const roots = new Set(Object.values(graph.updates));
  const inside = new Set<NodeId>();
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const n = node(id);
    const own = (reader: NodeId): boolean =>
      inside.has(reader) && sameShape(node(reader).shape, n.shape);
    const looksUp = n.op === 'gather' && node(n.inputs[0]!).shape.length === 1;
    const spelled = elementwise.has(n.op) || looksUp;
    const leads = roots.has(id) || users[id]!.length > 0;
    if (spelled && leads && !outputs.has(id) && users[id]!.every(own)) inside.add(id);
  }

  const states = new Map<string, NodeId>();
  graph.nodes.forEach((n, id) => {
    if (n.op === 'input' && n.attrs.state) states.set(n.attrs.name, id);
  });
  const written = new Set(Object.keys(graph.updates).map((name) => states.get(name)!));
  const parent = new Map<NodeId, NodeId>();
  const find = (id: NodeId): NodeId => {
    const up = parent.get(id) ?? id;
    return up === id ? id : find(up);
  };
  const join = (a: NodeId, b: NodeId): void => {
    if (find(a) !== find(b)) parent.set(find(a), find(b));
  };
  for (const id of inside)
    for (const input of node(id).inputs)
      if (inside.has(input) || (written.has(input) && sameShape(node(input).shape, node(id).shape)))
        join(id, input);
  for (const [name, root] of Object.entries(graph.updates)) {
    join(states.get(name)!, root);
  }
  const groups = new Map<NodeId, { roots: Map<string, NodeId>; inside: Set<NodeId> }>();
  const groupOf = (id: NodeId) => {
    const key = find(id);
    const known = groups.get(key) ?? { roots: new Map(), inside: new Set() };
    groups.set(key, known);
    return known;
  };
  for (const [name, root] of Object.entries(graph.updates))
    groupOf(states.get(name)!).roots.set(name, root);
  for (const id of inside) groupOf(id).inside.add(id);
  return [...groups.values()].map((group) => ({
    ...group,
    size: sizeOf(node([...group.roots.values()][0]!).shape),
  }));
}
