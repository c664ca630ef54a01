/** @file A graph divided into shares of its batch: each computes by itself what it can, and the rest goes on from the results of all. */
import { GraphBuilder } from './builder.ts';
import { attributesOfPart, type Cut, partOf, passOn } from './cuts.ts';
import { bytesOf } from './rules.ts';
import { type AnyNode, type Graph, type NodeId, type Primitive, sizeOf } from './types.ts';
import { copyNode, needed, resultsOf, rewrite, usersOf } from './walk.ts';

export interface Divided {
  /** What every share computes, of inputs of which those in `cut` are its part along their first axis. Outputs are called by numbers. */
  readonly share: Graph;
  /** Inputs of which each share gets a part. */
  readonly cut: ReadonlySet<string>;
  /** The graph that goes on from there: it has besides an input `partName(share, output)` for each output of each share. */
  readonly rest: Graph;
  readonly parts: number;
}

/** The name of an input of `rest`. */
export const partName = (share: number, output: string): string => `share ${share} ${output}`;

export interface Worth {
  /** Bytes that the outputs of a share may take. */
  readonly mostBytes: number;
  /** How many of the elements that are computed have to be parts of a share, from 0 to 1. */
  readonly leastShare: number;
  /** Rows of the batch that a share has at least. */
  readonly leastRows: number;
}
const worth: Worth = { mostBytes: 2 ** 24, leastShare: 0.8, leastRows: 1 };

/** Of a node that cannot be computed before all shares are done: 'late'. */
type Place = Cut | 'late';

/**
 * Divides a graph along its batch: the length that most inputs have along their first axis. Whether that is a batch is found out by following each node: sums over it, for example of gradients, are added up
 * in `rest`. Results are the same but for the rounding of such sums.
 *
 * @param most shares; fewer where the batch does not divide into so many
 * @returns undefined where there is nothing to divide, or it would not be worth it
 */
export function divide(
  graph: Graph,
  most: number,
  given: Partial<Worth> = {},
): Divided | undefined {
  const { mostBytes, leastShare, leastRows } = { ...worth, ...given };
  const { nodes } = graph;
  const batch = batchOf(graph);
  const parts = largestDivisor(batch, Math.max(1, Math.min(most, Math.floor(batch / leastRows))));
  if (parts < 2) return undefined;
  const isCutInput = (node: AnyNode): boolean =>
    node.op === 'input' && !node.attrs.state && node.shape[0] === batch;
  const places = placesOf(graph, parts, isCutInput);

  const users = usersOf(graph);
  const results = new Set(resultsOf(graph));
  const handed = nodes.flatMap((node, id) => {
    const place = places[id];
    const inShares = (typeof place === 'number' || place === 'sum') && node.op !== 'input';
    const wanted = results.has(id) || users[id]!.some((user) => places[user] === 'late');
    return inShares && wanted ? [id] : [];
  });
  // Of a composite with several results, each is read as a part.
  if (handed.length === 0 || handed.some((id) => isJoined(nodes[id]!))) return undefined;
  const shapeOfPart = (id: NodeId) => {
    const place = places[id]!;
    return typeof place === 'number' ? partOf(nodes[id]!.shape, place, parts) : nodes[id]!.shape;
  };
  const bytes = handed.reduce(
    (sum, id) => sum + bytesOf({ shape: shapeOfPart(id), dtype: nodes[id]!.dtype }),
    0,
  );
  if (bytes > mostBytes || shareOfWork(graph, places) < leastShare) return undefined;

  const rest = rewrite(graph, (builder, node, _, id) => {
    if (!handed.includes(id)) return undefined;
    const place = places[id]!;
    const type = { shape: shapeOfPart(id), dtype: node.dtype };
    const handedOver = Array.from({ length: parts }, (_, share) =>
      builder.add('input', [], { name: partName(share, String(id)), type, state: false }),
    );
    return typeof place === 'number'
      ? builder.add('concat', handedOver, { axis: place })
      : handedOver.reduce((sum, one) => builder.add('add', [sum, one], {}));
  });
  return {
    share: shareOf(graph, places, handed, parts),
    cut: new Set(nodes.flatMap((n) => (n.op === 'input' && isCutInput(n) ? [n.attrs.name] : []))),
    // Once more, without what led to the shares' results.
    rest: rewrite(rest, () => undefined),
    parts,
  };
}

const isJoined = (node: AnyNode): boolean =>
  node.op === 'composite' && node.attrs.outputs.length > 1;

/** How many of the elements that are computed are parts of a share: neither left to the rest, nor computed by every share again. */
function shareOfWork({ nodes }: Graph, places: readonly (Place | undefined)[]): number {
  const elements = { parts: 0, others: 0 };
  places.forEach((place, id) => {
    const { op, inputs, shape } = nodes[id]!;
    if (place === undefined || inputs.length === 0 || op === 'broadcast' || op === 'reshape')
      return;
    elements[place === 'late' || place === 'whole' ? 'others' : 'parts'] += sizeOf(shape);
  });
  return elements.parts / (elements.parts + elements.others);
}

function batchOf({ nodes }: Graph): number {
  const counts = new Map<number, number>();
  for (const node of nodes)
    if (node.op === 'input' && !node.attrs.state && node.shape.length > 0)
      counts.set(node.shape[0]!, (counts.get(node.shape[0]!) ?? 0) + 1);
  return [...counts].reduce((best, one) => (one[1] > best[1] ? one : best), [1, 0])[0]!;
}

function largestDivisor(n: number, most: number): number {
  let divisor = Math.min(n, most);
  while (n % divisor !== 0) divisor--;
  return divisor;
}

/** What each share has of each node; undefined for nodes that no result needs. */
function placesOf(
  graph: Graph,
  parts: number,
  isCutInput: (node: AnyNode) => boolean,
): (Place | undefined)[] {
  const live = needed(graph);
  const places: (Place | undefined)[] = [];
  graph.nodes.forEach((node, id) => {
    places.push(live[id] ? placeOf(node) : undefined);
  });
  return places;

  function placeOf(node: AnyNode): Place {
    if (isCutInput(node)) return 0;
    const cuts = node.inputs.map((input) => places[input]!);
    if (cuts.every((cut) => cut === 'whole')) return 'whole';
    if (cuts.some((cut) => cut === 'late' || cut === 'sum')) return 'late';
    const passed = passOn(node.op as Primitive, cuts as Cut[], {
      inputs: node.inputs.map((input) => graph.nodes[input]!),
      attrs: node.attrs as never,
      shape: node.shape,
      parts,
    });
    const fits = passed?.needs.every((need, i) => {
      const cut = cuts[i]!;
      if (need === cut) return true;
      return typeof need === 'number' && cut === 'whole'
        ? canNarrow(graph, node.inputs[i]!, need, parts)
        : false;
    });
    return passed && fits ? passed.cut : 'late';
  }
}

/** Whether all parts of a whole tensor along an axis are the same: it repeats something. */
function canNarrow({ nodes }: Graph, id: NodeId, axis: number, parts: number): boolean {
  const node = nodes[id]!;
  if (node.shape[axis]! % parts !== 0) return false;
  if (node.op === 'constant') return node.attrs.data.length === 1;
  return node.op === 'broadcast' && nodes[node.inputs[0]!]!.shape[axis] === 1;
}

function shareOf(
  graph: Graph,
  places: readonly (Place | undefined)[],
  handed: readonly NodeId[],
  parts: number,
): Graph {
  const { nodes } = graph;
  const wanted = new Set(handed);
  for (let id = nodes.length - 1; id >= 0; id--)
    if (wanted.has(id)) for (const input of nodes[id]!.inputs) wanted.add(input);
  const builder = new GraphBuilder();
  const made = new Map<NodeId, NodeId>();
  const part = (node: AnyNode, inputs: readonly NodeId[], axis: number): NodeId =>
    builder.add(
      node.op as Primitive,
      inputs,
      attributesOfPart(node.op as Primitive, node.attrs as never, axis, parts),
    );
  nodes.forEach((node, id) => {
    if (!wanted.has(id)) return;
    const place = places[id]!;
    const cuts = node.inputs.map((input) => places[input] as Cut);
    const needs =
      node.inputs.length > 0 && cuts.some((cut) => cut !== 'whole')
        ? passOn(node.op as Primitive, cuts, {
            inputs: node.inputs.map((input) => nodes[input]!),
            attrs: node.attrs as never,
            shape: node.shape,
            parts,
          })!.needs
        : cuts;
    made.set(
      id,
      builder.inPlaceOf(node, () => {
        const inputs = node.inputs.map((input, i) => {
          const need = needs[i]!;
          if (need === cuts[i]) return made.get(input)!;
          const whole = nodes[input]!;
          return part(
            whole,
            whole.inputs.map((one) => made.get(one)!),
            need as number,
          );
        });
        return typeof place === 'number'
          ? part(node, inputs, place)
          : copyNode(builder, node, inputs);
      }),
    );
  });
  return builder.finish(Object.fromEntries(handed.map((id) => [String(id), made.get(id)!])));
}
