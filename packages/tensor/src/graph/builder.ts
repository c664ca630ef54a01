/** @file Where graphs grow: an append-only list of nodes in which equal nodes are one. */
import { internal } from '../errors.ts';
import { typeOf } from './rules.ts';
import type {
  AnyNode,
  Attributes,
  Graph,
  Node,
  NodeId,
  NodeSink,
  Primitive,
  TensorType,
} from './types.ts';

export class GraphBuilder implements NodeSink {
  readonly #nodes: AnyNode[] = [];
  /** The nodes that read each node; those that read none, by what tells most of them apart. */
  readonly #readers: NodeId[][] = [];
  readonly #sources = new Map<string | number, NodeId[]>();
  #path = '';
  #region = 0;
  #regions = 0;

  get size(): number {
    return this.#nodes.length;
  }

  get path(): string {
    return this.#path;
  }

  node(id: NodeId): AnyNode {
    const node = this.#nodes[id];
    if (!node) throw internal(`no node ${id} in a graph of ${this.#nodes.length}`);
    return node;
  }

  /** @param known the type of the result, where that has been found out before */
  add<P extends Primitive>(
    op: P,
    inputs: readonly NodeId[],
    attrs: Attributes[P],
    known?: TensorType,
  ): NodeId {
    // What computes nothing belongs to no region: a weight read in two regions is one weight.
    const region = op === 'input' || op === 'weight' || op === 'constant' ? 0 : this.#region;
    const equal = this.#equal(op, region, inputs, attrs);
    if (equal !== undefined) return equal;
    const type =
      known ??
      (op === 'part'
        ? this.#partType(inputs[0]!, (attrs as Attributes['part']).index)
        : typeOf(
            op,
            inputs.map((i) => this.node(i)),
            attrs,
            this.#path,
          ));
    const node = {
      op,
      inputs,
      attrs,
      shape: type.shape,
      dtype: type.dtype,
      path: this.#path,
      region,
    } satisfies Node<P>;
    const id = this.#nodes.push(node as unknown as AnyNode) - 1;
    this.#readers.push([]);
    for (const input of inputs) this.#readers[input]!.push(id);
    if (inputs.length === 0) {
      const alike = this.#sources.get(markOf(attrs));
      if (alike) alike.push(id);
      else this.#sources.set(markOf(attrs), [id]);
    }
    return id;
  }

  /** The node that computes the same, if there is one: it reads whatever the new one would. */
  #equal(
    op: Primitive,
    region: number,
    inputs: readonly NodeId[],
    attrs: object,
  ): NodeId | undefined {
    let candidates = inputs.length === 0 ? this.#sources.get(markOf(attrs)) : undefined;
    for (const input of inputs) {
      const readers = this.#readers[input];
      if (readers && !(candidates && candidates.length <= readers.length)) candidates = readers;
    }
    return candidates?.find((id) => {
      const node = this.#nodes[id]!;
      return (
        node.op === op &&
        node.region === region &&
        node.inputs.length === inputs.length &&
        node.inputs.every((input, i) => input === inputs[i]) &&
        same(node.attrs, attrs)
      );
    });
  }

  at<T>(path: string, body: () => T): T {
    const outer = this.#path;
    this.#path = path;
    try {
      return body();
    } finally {
      this.#path = outer;
    }
  }

  /** Runs `body` so that its nodes form a region of their own, which the gradient computes again instead of keeping. Regions do not nest: an inner one belongs to the outer. */
  recompute<T>(body: () => T): T {
    if (this.#region !== 0) return body();
    this.#region = ++this.#regions;
    try {
      return body();
    } finally {
      this.#region = 0;
    }
  }

  /** Runs `body` so that its nodes take the place of `node`: in its layer and its region. */
  inPlaceOf<T>(node: AnyNode, body: () => T): T {
    const outer = this.#region;
    this.#region = node.region;
    this.#regions = Math.max(this.#regions, node.region);
    try {
      return this.at(node.path, body);
    } finally {
      this.#region = outer;
    }
  }

  /** The graph as far as it has grown, with these results. */
  finish(outputs: Record<string, NodeId>, updates: Record<string, NodeId> = {}): Graph {
    return { nodes: [...this.#nodes], outputs, updates };
  }

  #partType(composite: NodeId, index: number): TensorType {
    const node = this.node(composite);
    const type = node.op === 'composite' ? node.attrs.outputs[index] : undefined;
    if (!type) throw internal(`part ${index} of ${node.op}`);
    return type;
  }
}

/** A name or a first number. */
function markOf(attrs: object): string | number {
  const { name, data } = attrs as Partial<Attributes['weight'] & Attributes['constant']>;
  return name ?? data?.[0] ?? '';
}

/** Whether attributes say the same. Numbers are the same where `Object.is` says so: 0 is not -0, and NaN is NaN. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => same(item, b[i]));
  const [one, other] = [a, b] as [Record<string, unknown>, Record<string, unknown>];
  for (const key in one) if (!same(one[key], other[key])) return false;
  for (const key in other) if (!(key in one) && other[key] !== undefined) return false;
  return true;
}
