/**
 * @file Gated units whose two halves are computed apart, as products with either half of a frozen weight: nothing is split, and of a gradient nothing joined. Where one thread computes an operator,
 * some rows at a time go all the way from product to product, so that what lies between stays in a core's cache.
 */
import { type AnyNode, type Graph, type NodeId, type Shape, sizeOf } from '../../graph/types.ts';
import { usersOf } from '../../graph/walk.ts';
import { gegluGradient } from './composites.ts';
import { equalParts } from './equalParts.ts';
import type { Emitter, Name } from './emit.ts';
import type { Biased } from './fuse.ts';
import type { Lowering } from './lowering.ts';

type Pair = readonly [Name, Name];

/** x [rows, in] times weight [2n, in], transposed, plus bias [2n]: what a gated unit reads. */
interface Linear {
  readonly x: NodeId;
  readonly weight: NodeId;
  readonly bias: NodeId;
  /** Into how many equal parts the rows are divided; more than 1 only where all that reads the halves goes by the same parts. */
  readonly tiles: number;
}
/** A unit's result times another weight, by tiles. */
interface Leaving {
  readonly linear: NodeId;
  readonly product: Matmul;
  readonly bias: NodeId | undefined;
}
/** The cotangents of both halves times weight [2n, in]. */
interface Gradient {
  readonly linear: NodeId;
  /** The cotangent of the unit's result, or by tiles the product that makes it. */
  readonly from: NodeId;
  readonly weight: NodeId;
}
export interface Halved {
  /** Sums that only gated units and their gradients read. */
  readonly linears: ReadonlyMap<NodeId, Linear>;
  readonly leaving: ReadonlyMap<NodeId, Leaving>;
  readonly gradients: ReadonlyMap<NodeId, Gradient>;
  /** What is never computed as a whole. */
  readonly inside: ReadonlySet<NodeId>;
}
type Matmul = AnyNode & { op: 'matmul' };

const isComposite = ({ op, attrs }: AnyNode, name: string): boolean =>
  op === 'composite' && attrs.definition.name === name;
const lastOf = (shape: Shape): number => shape[shape.length - 1]!;

/**
 * What can be computed so.
 *
 * @param biased see planBiases
 * @param tileBytes what one half may take at a time
 */
export function planHalves(
  graph: Graph,
  biased: ReadonlyMap<NodeId, Biased>,
  tileBytes: number,
): Halved {
  const users = usersOf(graph);
  const results = new Set([...Object.values(graph.outputs), ...Object.values(graph.updates)]);
  const nodeOf = (id: NodeId): AnyNode => graph.nodes[id]!;
  const isWeight = (id: NodeId): boolean => nodeOf(id).op === 'weight';
  const source = (id: NodeId): NodeId =>
    nodeOf(id).op === 'reshape' ? source(nodeOf(id).inputs[0]!) : id;
  /** The only reader. */
  const reader = (id: NodeId): NodeId | undefined =>
    users[id]!.length === 1 && !results.has(id) ? users[id]![0] : undefined;
  /** The only reader of rows, seen through a reshape that keeps them. */
  const readerOfRows = (id: NodeId): { rows: NodeId; by: NodeId } | undefined => {
    const rows = reader(id);
    if (rows === undefined) return undefined;
    const { op, shape } = nodeOf(rows);
    if (op !== 'reshape') return { rows: id, by: rows };
    const by = reader(rows);
    return by === undefined || lastOf(shape) !== lastOf(nodeOf(id).shape)
      ? undefined
      : { rows, by };
  };
  /** Rows times a frozen weight. */
  const isProduct = (node: AnyNode, rows: NodeId): node is Matmul =>
    node.op === 'matmul' &&
    node.shape.length === 2 &&
    node.inputs[0] === rows &&
    !node.attrs.transposeA &&
    isWeight(node.inputs[1]!);

  const linears = new Map<NodeId, Linear>();
  const leaving = new Map<NodeId, Leaving>();
  const gradients = new Map<NodeId, Gradient>();
  const inside = new Set<NodeId>();
  /** By product, the sum that ends its chain. */
  const ends = new Map([...biased].map(([id, { product }]) => [product as AnyNode, id]));

  for (const [id, { product, addends }] of biased) {
    if (product.op !== 'matmul' || product.attrs.transposeA || !product.attrs.transposeB) continue;
    const [x, weight] = product.inputs as [NodeId, NodeId];
    const bias = source(addends[0]!);
    if (addends.length > 1 || !isWeight(weight) || !isWeight(bias) || results.has(id)) continue;
    const units = users[id]!.filter((user) => isComposite(nodeOf(user), 'geglu'));
    const theirs = users[id]!.filter(
      (user) => isComposite(nodeOf(user), 'gegluGrad') && nodeOf(user).inputs[0] !== id,
    );
    if (users[id]!.length === 0 || units.length + theirs.length < users[id]!.length) continue;

    const out = units.map((unit) => {
      const read = readerOfRows(unit);
      const by = read && nodeOf(read.by);
      if (!by || !isProduct(by, read.rows)) return undefined;
      const end = ends.get(by);
      const sum = end === undefined ? undefined : biased.get(end)!;
      if (sum && (sum.addends.length > 1 || !isWeight(source(sum.addends[0]!)))) return undefined;
      return {
        end: end ?? read.by,
        inside: [unit, read.rows, ...(end === undefined ? [] : [read.by])],
        step: { linear: id, product: by, bias: sum && source(sum.addends[0]!) },
      };
    });
    const back = theirs.map((gradient) => {
      const read = readerOfRows(gradient);
      const by = read && nodeOf(read.by);
      if (!by || !isProduct(by, read.rows) || by.attrs.transposeB) return undefined;
      const from = nodeOf(gradient).inputs[0]!;
      const made = source(from);
      const maker = nodeOf(made);
      const isTiled =
        isProduct(maker, maker.inputs[0]!) &&
        readerOfRows(made)?.by === gradient &&
        lastOf(maker.shape) === lastOf(nodeOf(from).shape);
      return {
        end: read.by,
        inside: [gradient, read.rows],
        step: { linear: id, from, weight: by.inputs[1]! },
        tiled: isTiled ? { made, inside: [from, made] } : undefined,
      };
    });
    const canTile = out.every((one) => one) && back.every((one) => one?.tiled);
    const tiles = canTile ? rowTiles(tileBytes, product.shape) : 1;
    linears.set(id, { x, weight, bias, tiles });
    inside.add(id);
    if (tiles > 1)
      for (const one of out) {
        leaving.set(one!.end, one!.step);
        for (const node of one!.inside) inside.add(node);
      }
    for (const one of back) {
      if (!one) continue;
      gradients.set(one.end, tiles > 1 ? { ...one.step, from: one.tiled!.made } : one.step);
      for (const node of [...one.inside, ...(tiles > 1 ? one.tiled!.inside : [])]) inside.add(node);
    }
  }
  return { linears, leaving, gradients, inside };
}

/** Rows of a tile for which a product still reads a weight fast. */
const LEAST_ROWS = 128;

/** Into how many equal parts [rows, 2n] is divided so that [rows, n] of each takes `bytes` at most, or has few rows. */
export function rowTiles(bytes: number, [rows, width]: Shape): number {
  return equalParts(rows!, Math.max(LEAST_ROWS, Math.floor(bytes / (2 * width!))));
}

const rowsIn = (e: Emitter, x: Name, tiles: number): readonly Name[] =>
  tiles === 1
    ? [x]
    : e.nodeWith(tiles, 'Split', [x], { attributes: { axis: 0, num_outputs: tiles } });
const together = (e: Emitter, parts: readonly Name[]): Name =>
  parts.length === 1 ? parts[0]! : e.node('Concat', parts, { attributes: { axis: 0 } });

/** Both halves of a linear's sum [rows, n], for each tile. */
export function emitHalves(at: Lowering, { x, weight, bias, tiles }: Linear): readonly Pair[] {
  const half = at.node(weight).shape[0]! / 2;
  return rowsIn(at.emit, at.value(x), tiles).map(
    (rows) =>
      [0, half].map((from) =>
        at.emit.node('Gemm', [rows, at.rows(weight, from, half), at.rows(bias, from, half)], {
          attributes: { transB: 1 },
        }),
      ) as unknown as Pair,
  );
}

/** [rows, out] */
export function emitLeaving(at: Lowering, { linear, product, bias }: Leaving): Name {
  const e = at.emit;
  const weight = at.value(product.inputs[1]!);
  const transB = product.attrs.transposeB;
  const parts = at.halves(linear)!.map(([value, gate]) => {
    const inner = e.node('Mul', [value, e.node('Gelu', [gate], { domain: 'com.microsoft' })]);
    return bias === undefined
      ? e.matmul(inner, weight, { transB })
      : e.node('Gemm', [inner, weight, at.value(bias)], { attributes: { transB: Number(transB) } });
  });
  return together(e, parts);
}

/** [rows, in] */
export function emitHalvesGradient(at: Lowering, { linear, from, weight }: Gradient): Name {
  const e = at.emit;
  const pairs = at.halves(linear)!;
  const half = at.node(weight).shape[0]! / 2;
  const maker = at.node(from) as Matmul;
  const cotangents =
    pairs.length === 1
      ? [e.reshape(at.value(from), [sizeOf(maker.shape) / half, half])]
      : rowsIn(e, at.value(maker.inputs[0]!), pairs.length).map((rows) =>
          e.matmul(rows, at.value(maker.inputs[1]!), { transB: maker.attrs.transposeB }),
        );
  const parts = pairs.map((pair, i) => {
    const [value, gate] = gegluGradient(e, cotangents[i]!, pair);
    const sum = e.matmul(value, at.rows(weight, 0, half));
    return e.node('Gemm', [gate, at.rows(weight, half, half), sum]);
  });
  return together(e, parts);
}
