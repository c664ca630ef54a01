/** @file Where graphs grow: an append-only list of nodes in which equal nodes are one. */
import { internal } from '../errors.ts';
import { typeOf } from './rules.ts';
import type {
  AnyNode,
  Attributes,
  CompositeDefinition,
  Graph,
  Node,
  NodeId,
  NodeSink,
  Primitive,
  TensorType,
} from './types.ts';

export class GraphBuilder implements NodeSink {
  readonly #nodes: AnyNode[] = [];
  readonly #known = new Map<string, NodeId>();
  readonly #definitions = new Map<CompositeDefinition, number>();
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

  add<P extends Primitive>(op: P, inputs: readonly NodeId[], attrs: Attributes[P]): NodeId {
    // What computes nothing belongs to no region: a weight read in two regions is one weight.
    const region = op === 'input' || op === 'weight' || op === 'constant' ? 0 : this.#region;
    const key = `${op}|${region}|${inputs.join()}|${this.#describe(attrs)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const type =
      op === 'part'
        ? this.#partType(inputs[0]!, (attrs as Attributes['part']).index)
        : typeOf(
            op,
            inputs.map((i) => this.node(i)),
            attrs,
            this.#path,
          );
    const node = {
      op,
      inputs,
      attrs,
      shape: type.shape,
      dtype: type.dtype,
      path: this.#path,
      region,
    } satisfies Node<P>;
    this.#nodes.push(node as unknown as AnyNode);
    this.#known.set(key, this.#nodes.length - 1);
    return this.#nodes.length - 1;
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

  #describe(attrs: object): string {
    return JSON.stringify(attrs, (key, value: unknown) =>
      key === 'definition'
        ? this.#numberOf(value as CompositeDefinition)
        : Object.is(value, -0)
          ? '-0'
          : typeof value === 'number' && !Number.isFinite(value)
            ? String(value)
            : value,
    );
  }

  #numberOf(definition: CompositeDefinition): number {
    const known = this.#definitions.get(definition) ?? this.#definitions.size;
    this.#definitions.set(definition, known);
    return known;
  }
}
