/** @file A graph that is cut at its custom operations: what is computed before, between and after them, as graphs of their own. */
import { GraphBuilder } from '../graph/builder.ts';
import type { AnyNode, Graph, NodeId } from '../graph/types.ts';
import { copyNode, needed } from '../graph/walk.ts';
import type { CustomNode } from './kernels.ts';

/** A part of the graph, and the custom operations that can be done once it has run. */
export interface Segment {
  /** Inputs and states by their own names; what was computed before, and what is needed later or is a result, by `valueName`. */
  readonly graph: Graph;
  readonly custom: readonly CustomCall[];
  /** Values that nothing needs after this segment and its custom operations. */
  readonly done: readonly string[];
}
export interface CustomCall {
  readonly id: NodeId;
  readonly node: CustomNode;
}

export const valueName = (id: NodeId): string => `value ${id}`;

/** Whether there is anything to run. */
export const computes = ({ graph }: Segment): boolean =>
  Object.keys(graph.outputs).length + Object.keys(graph.updates).length > 0;

export const hasCustom = (graph: Graph): boolean => {
  const live = needed(graph);
  return graph.nodes.some((node, id) => node.op === 'custom' && live[id]);
};

/** Known before anything runs; every segment has its own. */
const isGiven = ({ op }: AnyNode): boolean =>
  op === 'input' || op === 'weight' || op === 'constant';
/** Done again in each segment that reads it, rather than carried over: it costs nothing, and may be larger than what it is made of. */
const isView = ({ op }: AnyNode): boolean =>
  op === 'reshape' || op === 'permute' || op === 'broadcast' || op === 'stopGradient';

/**
 * The segments, in the order in which they run. Every node is computed in the first that it can be computed in; states get their next values in the last one, so that a run that fails before
 * changes none. All states stand in the last segment that computes something, whether it reads them or not.
 */
export function split(graph: Graph): Segment[] {
  const { nodes } = graph;
  const live = needed(graph);
  const levels: number[] = [];
  const isCustom = (id: NodeId): boolean => nodes[id]!.op === 'custom';
  nodes.forEach((node, id) => {
    levels[id] = node.inputs.reduce(
      (level, input) => Math.max(level, levels[input]! + Number(isCustom(input))),
      0,
    );
  });
  const last = nodes.reduce(
    (most, _, id) => (live[id] ? Math.max(most, levels[id]! + Number(isCustom(id))) : most),
    0,
  );
  const parts = Array.from({ length: last + 1 }, () => ({
    computed: new Set<NodeId>(),
    carried: new Set<NodeId>(),
    given: new Set<NodeId>(),
  }));
  /** What a node reads in its own segment: a barrier need not wait for what came before. */
  const readBy = (id: NodeId): readonly NodeId[] => {
    const { op, inputs } = nodes[id]!;
    return op === 'barrier'
      ? inputs.filter((input, i) => i === 0 || (levels[input] === levels[id] && !isCustom(input)))
      : inputs;
  };

  const left: { readonly id: NodeId; readonly level: number }[] = [];
  const give = (id: NodeId): void => {
    parts[levels[id]!]!.given.add(id);
    left.push({ id, level: levels[id]! });
  };
  nodes.forEach((node, id) => {
    if (node.op === 'custom' && live[id])
      for (const input of node.inputs) if (!isCustom(input)) give(input);
  });
  for (const id of Object.values(graph.outputs)) if (!isCustom(id)) give(id);
  for (const id of Object.values(graph.updates)) left.push({ id, level: last });
  const hasUpdates = Object.keys(graph.updates).length > 0;
  settle();
  const owner = hasUpdates ? last : parts.findLastIndex(({ given }) => given.size > 0);
  nodes.forEach((node, id) => {
    if (node.op === 'input' && node.attrs.state) left.push({ id, level: owner });
  });
  settle();
  function settle(): void {
    while (left.length > 0) {
      const { id, level } = left.pop()!;
      const { computed, carried } = parts[level]!;
      const node = nodes[id]!;
      if (computed.has(id) || carried.has(id)) continue;
      const here = isGiven(node) || isView(node) || (levels[id] === level && node.op !== 'custom');
      if (here) {
        computed.add(id);
        for (const input of readBy(id)) left.push({ id: input, level });
      } else {
        carried.add(id);
        if (node.op !== 'custom') give(id);
      }
    }
  }

  const custom = parts.map((_, level) =>
    nodes.flatMap((node, id): CustomCall[] =>
      node.op === 'custom' && live[id] && levels[id] === level ? [{ id, node }] : [],
    ),
  );
  const done = lastReads(
    parts.map(({ carried, given }, level) => [
      ...carried,
      ...given,
      ...custom[level]!.flatMap(({ id, node }) => [id, ...node.inputs]),
    ]),
    new Set(Object.values(graph.outputs)),
  );
  return parts.map(({ computed, carried, given }, level) => {
    const builder = new GraphBuilder();
    const made = new Map<NodeId, NodeId>();
    nodes.forEach((node, id) => {
      const { shape, dtype } = node;
      if (carried.has(id)) {
        const name = valueName(id);
        made.set(id, builder.add('input', [], { name, type: { shape, dtype }, state: false }));
      } else if (computed.has(id)) {
        const inputs = readBy(id).map((input) => made.get(input)!);
        // With nothing left to wait for, its input is as late as it has to be.
        const free = node.op === 'barrier' && inputs.length === 1;
        made.set(
          id,
          free ? inputs[0]! : builder.inPlaceOf(node, () => copyNode(builder, node, inputs)),
        );
      }
    });
    const outputs = Object.fromEntries([...given].map((id) => [valueName(id), made.get(id)!]));
    const updates =
      level === last
        ? Object.entries(graph.updates).map(([name, id]) => [name, made.get(id)!] as const)
        : [];
    return {
      graph: builder.finish(outputs, Object.fromEntries(updates)),
      custom: custom[level]!,
      done: done[level]!,
    };
  });
}

/** By segment: the values that are read in it and in no later one. `kept` are read at the end. */
function lastReads(
  reads: readonly (readonly NodeId[])[],
  kept: ReadonlySet<NodeId>,
): readonly string[][] {
  const last = new Map<NodeId, number>();
  reads.forEach((ids, level) => {
    for (const id of ids) last.set(id, level);
  });
  return reads.map((_, level) =>
    [...last].flatMap(([id, at]) => (at === level && !kept.has(id) ? [valueName(id)] : [])),
  );
}
