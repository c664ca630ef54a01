/** @file Gated units whose two halves are computed apart, as products with either half of a frozen weight: nothing is split, and of a gradient nothing joined. */
import { type AnyNode, type Graph, type NodeId, type Shape, sizeOf } from '../../graph/types.ts';
import { usersOf } from '../../graph/walk.ts';
import type { Name } from './emit.ts';
import type { Biased } from './fuse.ts';
import { gegluGradient } from './composites.ts';
import type { Lowering } from './lowering.ts';

/** x [..., in] times weight [2n, in], transposed, plus bias [2n]. */
interface Linear {
  readonly x: NodeId;
  readonly weight: NodeId;
  readonly bias: NodeId;
}
/** The cotangents that a gegluGrad has for both halves, times weight [2n, in]. */
interface Product {
  readonly gradient: NodeId;
  readonly weight: NodeId;
}
export interface Halved {
  /** Sums that are read by gated units and their gradients only. */
  readonly linears: ReadonlyMap<NodeId, Linear>;
  readonly products: ReadonlyMap<NodeId, Product>;
  /** What only those products read, and is never computed as a whole. */
  readonly inside: ReadonlySet<NodeId>;
}

const isComposite = ({ op, attrs }: AnyNode, ...names: readonly string[]): boolean =>
  op === 'composite' && names.includes(attrs.definition.name);

/** What can be computed so; `biased`: see planBiases. */
export function planHalves(graph: Graph, biased: ReadonlyMap<NodeId, Biased>): Halved {
  const users = usersOf(graph);
  const results = new Set([...Object.values(graph.outputs), ...Object.values(graph.updates)]);
  const nodeOf = (id: NodeId): AnyNode => graph.nodes[id]!;
  const readBy = (id: NodeId, accept: (user: AnyNode) => boolean): boolean =>
    !results.has(id) && users[id]!.length > 0 && users[id]!.every((user) => accept(nodeOf(user)));
  const source = (id: NodeId): NodeId =>
    nodeOf(id).op === 'reshape' ? source(nodeOf(id).inputs[0]!) : id;

  const linears = new Map<NodeId, Linear>();
  for (const [id, { product, addends }] of biased) {
    if (product.op !== 'matmul' || product.attrs.transposeA || !product.attrs.transposeB) continue;
    const [x, weight] = product.inputs as [NodeId, NodeId];
    const bias = source(addends[0]!);
    if (addends.length > 1 || nodeOf(weight).op !== 'weight' || nodeOf(bias).op !== 'weight')
      continue;
    const isGate = (user: AnyNode): boolean =>
      (isComposite(user, 'geglu') && user.inputs[0] === id) ||
      (isComposite(user, 'gegluGrad') && user.inputs[0] !== id && user.inputs[1] === id);
    if (readBy(id, isGate)) linears.set(id, { x, weight, bias });
  }

  const products = new Map<NodeId, Product>();
  const inside = new Set<NodeId>();
  graph.nodes.forEach((node, id) => {
    if (!isComposite(node, 'gegluGrad') || !linears.has(node.inputs[1]!)) return;
    const [flat] = users[id]!;
    if (flat === undefined || users[id]!.length > 1 || results.has(id)) return;
    const { op, inputs, shape } = nodeOf(flat);
    if (op !== 'reshape' || inputs[0] !== id || lastOf(shape) !== lastOf(node.shape)) return;
    const isProduct = (user: AnyNode): boolean =>
      user.op === 'matmul' &&
      user.shape.length === 2 &&
      user.inputs[0] === flat &&
      user.inputs[1] !== flat &&
      !user.attrs.transposeA &&
      !user.attrs.transposeB &&
      nodeOf(user.inputs[1]!).op === 'weight';
    if (!readBy(flat, isProduct)) return;
    for (const user of users[flat]!)
      products.set(user, { gradient: id, weight: nodeOf(user).inputs[1]! });
    inside.add(id).add(flat);
  });
  return { linears, products, inside };
}

const lastOf = (shape: Shape): number => shape[shape.length - 1]!;

/** Both halves of x [..., in] times weight, plus bias, each in the shape of half the sum. */
export function emitLinearHalves(
  at: Lowering,
  { x, weight, bias }: Linear,
  shape: Shape,
): [Name, Name] {
  const e = at.emit;
  const half = lastOf(shape) / 2;
  return [0, half].map((from) =>
    e.reshape(
      e.node('Gemm', [at.value(x), at.rows(weight, from, half), at.rows(bias, from, half)], {
        attributes: { transB: 1 },
      }),
      [...shape.slice(0, -1), half],
    ),
  ) as [Name, Name];
}

/** [rows, in] */
export function emitHalvedProduct(at: Lowering, { gradient, weight }: Product): Name {
  const e = at.emit;
  const { inputs, shape } = at.node(gradient);
  const half = lastOf(shape) / 2;
  const [value, gate] = gegluGradient(at, inputs).map((x) =>
    e.reshape(x, [sizeOf(shape) / (2 * half), half]),
  ) as [Name, Name];
  const sum = e.matmul(value, at.rows(weight, 0, half));
  return e.node('Gemm', [gate, at.rows(weight, half, half), sum]);
}
