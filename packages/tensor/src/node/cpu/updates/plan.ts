/** @file The end of a training step, where each state gets its next value element by element, as kernels that pass over memory once. */
import {
  type AnyNode,
  type Graph,
  type NodeId,
  type Primitive,
  sameShape,
  sizeOf,
} from '../../../graph/types.ts';
import { usersOf } from '../../../graph/walk.ts';
import { expressions } from './expressions.ts';

/** What a kernel reads, in the order of its arguments. */
export type Operand =
  /** A state, which it may also write. */
  | { readonly kind: 'state'; readonly name: string }
  /** An output of the residual graph: as long as the states, or one number. */
  | { readonly kind: 'value' | 'scalar'; readonly output: string };

/** Next values of states of one size that hang together, in place. */
export interface UpdateKernel {
  readonly size: number;
  /** Body of a function of `from`, `to`, `o` (the operands' arrays; one number for a scalar) and `f` (Math.fround). */
  readonly source: string;
  readonly operands: readonly Operand[];
  readonly states: readonly string[];
}

export interface UpdatePlan {
  /** The graph without what the kernels do; what they read are outputs of it. */
  readonly residual: Graph;
  readonly kernels: readonly UpdateKernel[];
}

const outputOf = (id: NodeId): string => `update operand ${id}`;

/**
 * Splits the updates of large states off a graph (composites spelled out). A kernel takes an update's node and whatever element-wise nodes only it needs, back to the states, to the gradients, and to
 * single numbers; it runs when all else has been computed, so that it may write over what it has read.
 *
 * @param least states with fewer elements together stay as they are, not worth another thread's waking, unless there are `many` of them: then it is the number of operators that takes the time
 */
export function planUpdates(
  graph: Graph,
  least: number,
  many = Number.POSITIVE_INFINITY,
): UpdatePlan {
  const none: UpdatePlan = { residual: graph, kernels: [] };
  const node = (id: NodeId): AnyNode => graph.nodes[id]!;
  const states = new Map<string, NodeId>();
  graph.nodes.forEach((n, id) => {
    if (n.op === 'input' && n.attrs.state) states.set(n.attrs.name, id);
  });
  const { roots, inside } = settled(graph);
  const total = [...roots.values()].reduce((sum, id) => sum + sizeOf(node(id).shape), 0);
  if (total < least && roots.size < many) return none;

  const groups = groupsOf(graph, roots, inside, states);
  const kernels = groups.map((names) => kernelOf(graph, names, roots, inside));
  const wanted = new Set(
    kernels.flatMap(({ operands }) =>
      operands.flatMap((o) => (o.kind === 'state' ? [] : [o.output])),
    ),
  );
  return {
    residual: {
      nodes: graph.nodes,
      outputs: {
        ...graph.outputs,
        ...Object.fromEntries(
          graph.nodes.flatMap((_, id) => (wanted.has(outputOf(id)) ? [[outputOf(id), id]] : [])),
        ),
      },
      updates: Object.fromEntries(
        Object.entries(graph.updates).filter(([name]) => !roots.has(name)),
      ),
    },
    kernels,
  };
}

/** The updates that kernels do, by state, and the nodes that they compute. */
function settled(graph: Graph): {
  roots: ReadonlyMap<string, NodeId>;
  inside: ReadonlySet<NodeId>;
} {
  let roots = new Map(
    Object.entries(graph.updates).filter(([, id]) => graph.nodes[id]!.dtype === 'f32'),
  );
  for (;;) {
    const inside = insideOf(graph, new Set(roots.values()));
    const kept = new Map([...roots].filter(([, id]) => inside.has(id)));
    // An update that is left out needs its operands elsewhere.
    if (kept.size === roots.size) return { roots, inside };
    roots = kept;
  }
}

const isInteger = ({ dtype }: AnyNode): boolean => dtype === 'i32' || dtype === 'u8';
const spelled = ({ op }: AnyNode): boolean => expressions[op] !== undefined;

/** Nodes that kernels compute: element-wise ones that nothing else needs. */
function insideOf(graph: Graph, roots: ReadonlySet<NodeId>): ReadonlySet<NodeId> {
  const users = usersOf(graph);
  const results = new Set([
    ...Object.values(graph.outputs),
    ...Object.values(graph.updates).filter((id) => !roots.has(id)),
  ]);
  const inside = new Set<NodeId>();
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const node = graph.nodes[id]!;
    const readers = users[id]!;
    if (!spelled(node) || results.has(id) || node.inputs.some((i) => isInteger(graph.nodes[i]!)))
      continue;
    const { shape } = node;
    const owned = readers.every(
      (reader) => inside.has(reader) && sameShape(graph.nodes[reader]!.shape, shape),
    );
    if (owned && (roots.has(id) || readers.length > 0)) inside.add(id);
  }
  return inside;
}

/** The names of the states that one kernel writes: those whose updates share a node or read one another's old value. */
function groupsOf(
  graph: Graph,
  roots: ReadonlyMap<string, NodeId>,
  inside: ReadonlySet<NodeId>,
  states: ReadonlyMap<string, NodeId>,
): string[][] {
  const groupOf = new Map<NodeId, string[]>();
  /** Groups that became part of another. */
  const joined = new Map<string[], string[]>();
  const present = (group: string[]): string[] => {
    const other = joined.get(group);
    return other ? present(other) : group;
  };
  const claim = (id: NodeId, own: string[]): string[] => {
    const group = groupOf.get(id);
    if (!group) groupOf.set(id, own);
    const other = group && present(group);
    if (!other || other === own) return own;
    other.push(...own);
    joined.set(own, other);
    return other;
  };
  const written = new Set([...roots.keys()].map((name) => states.get(name)!));
  for (const [name, root] of roots) {
    if (!inside.has(root)) continue;
    let own = claim(states.get(name)!, [name]);
    const left = [root];
    const seen = new Set<NodeId>();
    while (left.length > 0) {
      const id = left.pop()!;
      if (seen.has(id)) continue;
      seen.add(id);
      if (inside.has(id)) left.push(...graph.nodes[id]!.inputs);
      if (inside.has(id) || written.has(id)) own = claim(id, own);
    }
  }
  return [...new Set([...groupOf.values()].map(present))];
}

function kernelOf(
  graph: Graph,
  names: readonly string[],
  roots: ReadonlyMap<string, NodeId>,
  inside: ReadonlySet<NodeId>,
): UpdateKernel {
  const node = (id: NodeId): AnyNode => graph.nodes[id]!;
  const size = sizeOf(node(roots.get(names[0]!)!).shape);
  const operands: Operand[] = [];
  const known = new Map<NodeId, string>();
  const heads: string[] = [];
  const lines: string[] = [];
  const places = new Map<string, number>();
  const operand = (what: Operand): number => {
    const key = `${what.kind} ${what.kind === 'state' ? what.name : what.output}`;
    const place = places.get(key) ?? operands.push(what) - 1;
    places.set(key, place);
    return place;
  };
  const leaf = (id: NodeId): string => {
    const n = node(id);
    if (n.op === 'input' && n.attrs.state && sizeOf(n.shape) === size && n.dtype === 'f32') {
      const at = operand({ kind: 'state', name: n.attrs.name });
      lines.push(`const x${id} = o${at}[i];`);
      return `x${id}`;
    }
    const source = repeated(graph, id);
    if (source !== undefined) {
      const one = node(source);
      if (one.op === 'constant') return `f(${literal(one.attrs.data[0]!)})`;
      const at = operand({ kind: 'scalar', output: outputOf(source) });
      heads.push(`const x${id} = ${one.dtype === 'f32' ? `f(o[${at}])` : `o[${at}] !== 0`};`);
      return `x${id}`;
    }
    const at = operand({ kind: 'value', output: outputOf(id) });
    lines.push(`const x${id} = o${at}[i]${n.dtype === 'bool' ? ' !== 0' : ''};`);
    return `x${id}`;
  };
  const value = (id: NodeId): string => {
    const before = known.get(id);
    if (before !== undefined) return before;
    let name: string;
    if (inside.has(id)) {
      const n = node(id);
      const spell = expressions[n.op as Primitive] as (o: string[], a: unknown) => string;
      const expression = spell(n.inputs.map(value), n.attrs);
      name = `x${id}`;
      lines.push(`const ${name} = ${expression};`);
    } else name = leaf(id);
    known.set(id, name);
    return name;
  };
  const results = names.map((name) => [name, value(roots.get(name)!)] as const);
  // Everything of an element is read before anything of it is written.
  for (const [name, result] of results)
    lines.push(`o${operand({ kind: 'state', name })}[i] = ${result};`);
  const arrays = operands.flatMap((o, at) =>
    o.kind === 'scalar' ? [] : [`const o${at} = o[${at}];`],
  );
  const source = [
    ...arrays,
    ...heads,
    'for (let i = from; i < to; i++) {',
    ...lines.map((line) => `  ${line}`),
    '}',
  ].join('\n');
  return { size, source: renumbered(source), operands, states: names };
}

/** The node whose one element a node repeats. */
function repeated(graph: Graph, id: NodeId): NodeId | undefined {
  const node = graph.nodes[id]!;
  if (sizeOf(node.shape) === 1 && node.op !== 'broadcast' && node.op !== 'reshape') return id;
  if (node.op === 'constant' && node.attrs.data.length === 1) return id;
  return node.op === 'broadcast' || node.op === 'reshape'
    ? repeated(graph, node.inputs[0]!)
    : undefined;
}

const literal = (value: number): string =>
  Number.isNaN(value) ? 'NaN' : Object.is(value, -0) ? '-0' : String(value);

/** The same source for the same work: nodes are counted from 0. */
function renumbered(source: string): string {
  const numbers = new Map<string, number>();
  return source.replace(/\bx\d+\b/g, (name) => {
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    return `x${numbers.get(name)!}`;
  });
}
