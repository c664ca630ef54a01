/** @file How much memory a graph needs if it is computed in its own order. */
import type { MemoryPlan } from '../backend.ts';
import { bytesOf } from './rules.ts';
import {
  type AnyNode,
  type Graph,
  type NodeId,
  type Primitive,
  sameShape,
  type TensorType,
} from './types.ts';
import { needed, resultsOf, usersOf } from './walk.ts';

export interface PlanOptions {
  /** Bytes that one tensor takes; by default 4 for an f32 or i32 element and 1 for a bool or u8. */
  readonly bytes?: (type: TensorType) => number;
  /**
   * Whether the next value of a state takes the place of the old one where nothing reads that any more. The element-wise end of the graph, which leads from gradients to
   * next states, is taken for one pass over memory then, which keeps nothing.
   */
  readonly donate?: boolean;
  /** Results (next values of states among them) are computed into memory that is there from the start, and come back as copies, all at once: each of them counts twice. */
  readonly copied?: boolean;
}

/** Memory that one tensor, or several that are the same numbers, lie in. */
interface Buffer {
  bytes: number;
  readonly madeAt: number;
  /** The position of the last node that reads it; its own if nobody does. */
  lastRead: number;
}

const sharesItsInput = ({ op }: AnyNode): boolean =>
  op === 'reshape' || op === 'stopGradient' || op === 'barrier' || op === 'part';

/**
 * Bytes for weights (constants among them), states, and the largest sum of everything else alive at one time: the inputs of a call and the results from start or birth to the end,
 * intermediates until their last reader. A reshape takes nothing; composites count by their results, as if a kernel kept nothing beside them.
 */
export function planMemory(
  graph: Graph,
  { bytes = bytesOf, donate = true, copied = false }: PlanOptions = {},
): MemoryPlan {
  const live = needed(graph);
  const weights = new Map<string, number>();
  let constants = 0;
  let state = 0;
  let given = 0;
  const states = new Map<string, Buffer>();

  // The results of each node: one, or those of a composite.
  const buffers: Buffer[][] = [];
  const computed: Buffer[] = [];
  graph.nodes.forEach((node, id) => {
    const make = (size: number): Buffer => ({ bytes: size, madeAt: id, lastRead: id });
    const size = bytes(node);
    if (node.op === 'input') {
      const buffer = make(size);
      buffers.push([buffer]);
      if (node.attrs.state) states.set(node.attrs.name, buffer);
      if (node.attrs.state) state += size;
      else given += size;
    } else if (!live[id]) {
      buffers.push([]);
    } else if (node.op === 'weight') {
      buffers.push([make(size)]);
      weights.set(node.attrs.name, size);
    } else if (node.op === 'constant') {
      buffers.push([make(size)]);
      constants += bytes({ shape: [node.attrs.data.length], dtype: node.dtype });
    } else if (sharesItsInput(node)) {
      const index = node.op === 'part' ? node.attrs.index : 0;
      for (const ticket of node.inputs.slice(1)) buffers[ticket]![0]!.lastRead = id;
      buffers.push([buffers[node.inputs[0]!]![index]!]);
    } else {
      for (const input of node.inputs) buffers[input]![0]!.lastRead = id;
      const made =
        node.op === 'composite' ? node.attrs.outputs.map((o) => make(bytes(o))) : [make(size)];
      buffers.push(made);
      computed.push(...made);
    }
  });

  if (donate)
    for (const id of updatePass(graph))
      for (const buffer of buffers[id]!) if (buffer.madeAt === id) buffer.bytes = 0;
  const intermediate = new Set(computed);
  for (const id of resultsOf(graph)) buffers[id]![0]!.lastRead = Number.POSITIVE_INFINITY;
  if (donate)
    for (const [name, id] of Object.entries(graph.updates)) {
      const next = buffers[id]![0]!;
      if (intermediate.has(next) && states.get(name)!.lastRead <= next.madeAt) next.bytes = 0;
    }

  if (copied)
    for (const buffer of new Set(resultsOf(graph).map((id) => buffers[id]![0]!)))
      if (intermediate.has(buffer)) {
        given += 2 * buffer.bytes;
        buffer.bytes = 0;
      }

  const freed = new Map<number, number>();
  for (const { lastRead, bytes: size } of computed)
    freed.set(lastRead, (freed.get(lastRead) ?? 0) + size);
  let alive = given;
  let activations = given;
  let next = 0;
  graph.nodes.forEach((_, id) => {
    for (; computed[next]?.madeAt === id; next++) alive += computed[next]!.bytes;
    activations = Math.max(activations, alive);
    alive -= freed.get(id) ?? 0;
  });

  const weightBytes = [...weights.values()].reduce((sum, size) => sum + size, constants);
  return { weights: weightBytes, state, activations, total: weightBytes + state + activations };
}

const elementwise: ReadonlySet<Primitive> = new Set<Primitive>([
  ...(['neg', 'exp', 'log', 'sqrt', 'abs', 'sign', 'tanh', 'sigmoid', 'stopGradient'] as const),
  ...(['add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'less', 'equal', 'where'] as const),
]);

/** Nodes between gradients and next states that are functions of single elements, or composites that give nothing but next states. */
function updatePass(graph: Graph): NodeId[] {
  const users = usersOf(graph);
  const roots = new Set(Object.values(graph.updates));
  const results = new Set(Object.values(graph.outputs));
  const pass = new Set<NodeId>();
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const node = graph.nodes[id]!;
    const readers = users[id]!;
    const own = (reader: NodeId): boolean =>
      pass.has(reader) &&
      (node.op === 'composite' || sameShape(graph.nodes[reader]!.shape, node.shape));
    const fits = elementwise.has(node.op) || node.op === 'part' || node.op === 'composite';
    const leads = readers.length > 0 || roots.has(id);
    if (fits && leads && !results.has(id) && readers.every(own)) pass.add(id);
  }
  return [...pass];
}
