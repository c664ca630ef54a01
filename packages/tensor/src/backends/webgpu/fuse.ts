/** @file Which nodes of a graph lie in memory, and which are computed by whoever reads them. Plain decisions on a graph; no kernel is written here. */
import {
  type AnyNode,
  type Graph,
  type NodeId,
  type Primitive,
  sizeOf,
} from '../../graph/types.ts';
import { needed, usersOf } from '../../graph/walk.ts';
import { type UpdateGroup, updateGroups } from './updates.ts';
import { isContiguous } from './places.ts';
import { takesEpilogue } from './planned.ts';
import { viewOf } from './views.ts';

export interface FuseLimits {
  /** Tensors that the expressions of one kernel may read. */
  readonly leaves: number;
  /** Tensors that an epilogue may read. */
  readonly epilogue: number;
  /** Bindings that a tensor takes. */
  readonly windows: (id: NodeId) => number;
}

export interface Fusion {
  /** By node: it lies in memory. */
  readonly stored: readonly boolean[];
  /** The last of the element-wise nodes that become part of the kernel of a reduction, a product or a convolution, and that kernel's node. */
  readonly epilogues: ReadonlyMap<NodeId, NodeId>;
  readonly updates: readonly UpdateGroup[];
  /** The tensors that the expression of a node reads (of a stored one: the kernel that computes it). */
  readonly leaves: (id: NodeId) => ReadonlySet<NodeId>;
}

/** Nodes that a kernel of their own computes. */
const heavy: ReadonlySet<Primitive> = new Set<Primitive>([
  ...(['reduceSum', 'reduceMax', 'matmul', 'conv2d', 'conv2dGradInput'] as const),
  ...(['conv2dGradWeight', 'scatterAdd', 'composite', 'part', 'custom'] as const),
]);
const given = (node: AnyNode): boolean =>
  node.op === 'input' ||
  node.op === 'weight' ||
  (node.op === 'constant' && node.attrs.data.length > 1);
const isView = ({ op }: AnyNode): boolean =>
  op === 'reshape' ||
  op === 'permute' ||
  op === 'broadcast' ||
  op === 'slice' ||
  op === 'stopGradient' ||
  op === 'barrier';

const dear: Readonly<Partial<Record<Primitive, number>>> = {
  ...{ exp: 4, log: 4, sin: 4, cos: 4, sqrt: 2, div: 2, tanh: 6, sigmoid: 6, erf: 12, pow: 12 },
  ...{ pad: 2, concat: 2, gather: 2, reshape: 0, permute: 0, broadcast: 0, slice: 0 },
  ...{ stopGradient: 0, barrier: 0, constant: 0 },
};
/** Computing this again is no dearer than writing and reading it: a card does some 20 operations in the time that a byte takes. */
const CHEAP = 60;
/** What may be done again for each element of a repetition. */
const CHEAP_REPEATED = 3;
/** Operations in one kernel: beyond this, compilers of drivers take their time. */
const LARGEST = 300;
/** A tensor this much smaller than another costs nothing to read beside it. */
const SMALL = 8;
/** What one expression says without functions or branches. */
const inEpilogue: ReadonlySet<Primitive> = new Set<Primitive>([
  ...(['neg', 'exp', 'sqrt', 'sigmoid', 'abs', 'sign'] as const),
  ...(['add', 'sub', 'mul', 'div'] as const),
]);
/** Terms of the result's own expression that become part of a kernel. */
const LONGEST_EPILOGUE = 10;

export function fuse(graph: Graph, limits: FuseLimits): Fusion {
  const { nodes } = graph;
  const live = needed(graph);
  const users = usersOf(graph).map((list) => [...new Set(list)]);
  const node = (id: NodeId): AnyNode => nodes[id]!;
  const size = (id: NodeId): number => sizeOf(node(id).shape);
  const outputs = new Set(Object.values(graph.outputs));
  const updates = updateGroups(graph, users, outputs);
  const groupOf = new Map<NodeId, number>();
  updates.forEach(({ inside }, n) => {
    for (const id of inside) groupOf.set(id, n);
  });
  const updateRoots = new Set(Object.values(graph.updates));

  const stored = nodes.map((n, id) => live[id]! && (heavy.has(n.op) || given(n)));
  // The parts of a composite lie in memory, not itself, where it has several.
  nodes.forEach((n, id) => {
    if (n.op === 'composite' && n.attrs.outputs.length > 1) stored[id] = false;
  });
  const fixed = (id: NodeId): boolean => stored[id]! || heavy.has(node(id).op);
  const uniform = (id: NodeId): boolean => node(id).op === 'constant' && !stored[id];

  const wanted = new Set<NodeId>(outputs);
  for (const [, root] of Object.entries(graph.updates)) if (!groupOf.has(root)) wanted.add(root);
  const want = (id: NodeId): void => {
    wanted.add(id);
  };
  /** The first tensor that is computed, behind what only moves elements. */
  const behind = (id: NodeId): NodeId => viewOf(node, id, (n) => !isView(node(n))).source;
  nodes.forEach((n, id) => {
    if (!live[id]) return;
    if (n.op === 'matmul') for (const input of n.inputs) want(behind(input));
    if (n.op === 'conv2d' || n.op === 'conv2dGradInput' || n.op === 'conv2dGradWeight')
      for (const input of n.inputs) wantContiguous(input);
    if (n.op === 'composite' || n.op === 'custom')
      for (const input of n.inputs) wantContiguous(input);
    if (n.op === 'scatterAdd') for (const input of n.inputs) want(input);
  });
  function wantContiguous(id: NodeId): void {
    const seen = viewOf(node, id, (n) => !isView(node(n)));
    want(isContiguous(seen.view) && !uniform(seen.source) ? seen.source : id);
  }

  // What each would read and do if nothing but these and the heavy nodes were stored.
  const spread: ReadonlySet<NodeId>[] = [];
  const cost: number[] = [];
  nodes.forEach((n, id) => {
    if (!live[id] || fixed(id) || wanted.has(id)) {
      spread.push(new Set([id]));
      cost.push(0);
      return;
    }
    const all = new Set<NodeId>();
    for (const input of n.inputs)
      for (const leaf of spread[input]!) if (all.size < 9) all.add(leaf);
    spread.push(all);
    cost.push(
      Math.min(
        1000,
        n.inputs.reduce((sum, i) => sum + cost[i]!, dear[n.op] ?? 1),
      ),
    );
  });

  nodes.forEach((n, id) => {
    if (!live[id]) return;
    if (n.op === 'gather') {
      const table = behind(n.inputs[0]!);
      if (!isView(node(table)) && cost[table]! > 0) want(table);
    }
    if (n.op === 'broadcast' && size(id) > size(n.inputs[0]!)) {
      const repeated = behind(n.inputs[0]!);
      if (cost[repeated]! > CHEAP_REPEATED) want(repeated);
    }
  });

  // Backwards: a node that only one kernel reads is part of it.
  const homes: ReadonlySet<string>[] = new Array<ReadonlySet<string>>(nodes.length);
  for (let id = nodes.length - 1; id >= 0; id--) {
    const n = node(id);
    if (!live[id]) continue;
    const group = groupOf.get(id);
    if (group !== undefined && !fixed(id)) {
      homes[id] = new Set([`group ${group}`]);
      continue;
    }
    if (!fixed(id) && (wanted.has(id) || !virtual(id, n))) stored[id] = true;
    if (fixed(id)) homes[id] = new Set([String(id)]);
  }
  function virtual(id: NodeId, n: AnyNode): boolean {
    const all = new Set<string>();
    for (const reader of users[id]!) for (const home of homes[reader]!) all.add(home);
    homes[id] = all;
    if (uniform(id) || isView(n) || all.size <= 1) return true;
    const large = [...spread[id]!].filter((leaf) => size(leaf) * SMALL >= size(id));
    return large.length <= 1 && cost[id]! <= CHEAP && n.op !== 'concat';
  }

  // Forwards: no kernel reads more tensors than it may be bound to.
  const leaves: Set<NodeId>[] = nodes.map(() => new Set());
  const work: number[] = nodes.map(() => 0);
  const seenFrom = (id: NodeId): ReadonlySet<NodeId> => (stored[id] ? new Set([id]) : leaves[id]!);
  const bindings = (set: ReadonlySet<NodeId>): number =>
    [...set].reduce((sum, id) => sum + limits.windows(id), 0);
  const limit = (id: NodeId, most: number): void => {
    const inputs = [...new Set(node(id).inputs)];
    for (;;) {
      const all = new Set(inputs.flatMap((i) => [...seenFrom(i)]));
      const total = inputs.reduce(
        (sum, i) => sum + (stored[i] ? 0 : work[i]!),
        dear[node(id).op] ?? 1,
      );
      const open = inputs.filter((i) => !stored[i] && !uniform(i) && leaves[i]!.size > 0);
      if ((bindings(all) <= most && total <= LARGEST) || open.length === 0) {
        leaves[id] = all;
        work[id] = total;
        return;
      }
      const largest = open.reduce((a, b) =>
        bindings(leaves[b]!) + work[b]! > bindings(leaves[a]!) + work[a]! ? b : a,
      );
      stored[largest] = true;
    }
  };
  nodes.forEach((n, id) => {
    if (!live[id] || given(n)) return;
    limit(id, n.op === 'concat' && stored[id] ? Number.POSITIVE_INFINITY : limits.leaves);
  });

  const epilogues = new Map<NodeId, NodeId>();
  /** Nodes between a heavy one and the end of its epilogue. */
  const absorbed = new Set<NodeId>();
  nodes.forEach((n, id) => {
    if (!live[id] || !stored[id] || outputs.has(id) || updateRoots.has(id)) return;
    const absorbs =
      n.op === 'matmul' ||
      n.op === 'conv2d' ||
      n.op === 'conv2dGradInput' ||
      n.op === 'conv2dGradWeight' ||
      n.op === 'reduceSum' ||
      n.op === 'reduceMax' ||
      (n.op === 'composite' && takesEpilogue(n.attrs.definition.name)) ||
      (n.op === 'part' && n.attrs.index === 0 && partTakesEpilogue(n.inputs[0]!));
    if (absorbs) absorb(id);
  });
  function partTakesEpilogue(id: NodeId): boolean {
    const n = node(id);
    return n.op === 'composite' && takesEpilogue(n.attrs.definition.name);
  }
  /** Whether the other results of the composite that `start` is a part of are read only after `end`, where its kernel comes to stand. */
  function othersCanWait(start: NodeId, end: NodeId): boolean {
    const n = node(start);
    return (
      n.op !== 'part' ||
      users[n.inputs[0]!]!.every(
        (part) => part === start || users[part]!.every((reader) => reader > end),
      )
    );
  }
  /** Grows the kernel of `start` by element-wise readers, up to the last node that is all that others read of it. */
  function absorb(start: NodeId): void {
    const chain = new Set<NodeId>([start]);
    const others = new Set<NodeId>();
    let best: { end: NodeId; chain: NodeId[]; others: NodeId[] } | undefined;
    let terms = 0;
    for (;;) {
      const next = [...chain]
        .flatMap((id) => users[id]!)
        .filter((id) => !chain.has(id))
        .reduce((least, id) => Math.min(least, id), Number.POSITIVE_INFINITY);
      if (next === Number.POSITIVE_INFINITY || groupOf.has(next) || absorbed.has(next)) break;
      const n = node(next);
      if (n.op === 'reshape') {
        if (stored[n.inputs[0]!] && n.inputs[0] !== start) break;
      } else {
        if (!inEpilogue.has(n.op) || sizeOf(n.shape) !== size(start)) break;
        terms += n.inputs.reduce((sum, i) => sum + (chain.has(i) || stored[i] ? 0 : work[i]!), 1);
        for (const input of n.inputs)
          if (!chain.has(input)) for (const leaf of seenFrom(input)) others.add(leaf);
        if (terms > LONGEST_EPILOGUE || others.size > limits.epilogue || !plain(n, chain)) break;
      }
      chain.add(next);
      const closed = [...chain].every(
        (id) =>
          id === next ||
          (!(outputs.has(id) || updateRoots.has(id)) && users[id]!.every((u) => chain.has(u))),
      );
      if (closed && n.op !== 'reshape')
        best = { end: next, chain: [...chain], others: [...others] };
      if (updateRoots.has(next)) break;
    }
    if (!best || !othersCanWait(start, best.end)) return;
    for (const id of best.chain) {
      stored[id] = false;
      absorbed.add(id);
    }
    stored[best.end] = true;
    epilogues.set(best.end, start);
    leaves[best.end] = new Set([...best.others, ...leaves[start]!]);
  }
  /** Whether what a node reads besides the chain can be said in one expression, without branches. */
  function plain(n: AnyNode, chain: ReadonlySet<NodeId>): boolean {
    return n.inputs.every((input) => {
      if (chain.has(input)) return true;
      const simple = (id: NodeId): boolean => {
        const one = node(id);
        if (stored[id]) return one.dtype === 'f32';
        if (uniform(id))
          return (
            one.dtype === 'f32' &&
            Number.isFinite(Number((one.attrs as { data: number[] }).data[0]))
          );
        return (isView(one) || inEpilogue.has(one.op)) && one.inputs.every(simple);
      };
      return simple(input);
    });
  }

  return { stored, epilogues, updates, leaves: (id) => leaves[id]! };
}
