/** @file Gradient checkpointing (Chen et al. 2016): the gradient's own copies of what a marked region computed. */
import { copyNode } from '../graph/walk.ts';
import type { NodeId, NodeSink } from '../graph/types.ts';
import type { Tensor } from '../trace/tensor.ts';

/**
 * Gives the gradient the values it reads. Outside of regions: the forward pass's own. For a region: a second copy of its nodes, whose inputs wait (behind a `barrier`)
 * for the cotangent that first enters the region, so that no pass can merge the copy with the original or run it early.
 */
export class Recompute {
  readonly #builder: NodeSink;
  readonly #copies = new Map<NodeId, NodeId>();
  readonly #tickets = new Map<number, NodeId>();

  constructor(builder: NodeSink) {
    this.#builder = builder;
  }

  /** The node that holds the value of `id` for the gradient of a node in `region`, into which `cotangent` flows. */
  valueFor(id: NodeId, region: number, cotangent: Tensor): NodeId {
    if (region === 0) return id;
    if (!this.#tickets.has(region)) this.#tickets.set(region, cotangent.id);
    return this.#copy(id, region, this.#tickets.get(region)!);
  }

  #copy(id: NodeId, region: number, ticket: NodeId): NodeId {
    const node = this.#builder.node(id);
    if (node.op === 'weight' || node.op === 'constant' || (node.op === 'input' && node.attrs.state))
      return id;
    if (node.region !== region) return this.#builder.add('barrier', [id, ticket], {});
    const known = this.#copies.get(id);
    if (known !== undefined) return known;
    const copy = copyNode(
      this.#builder,
      node,
      node.inputs.map((input) => this.#copy(input, region, ticket)),
    );
    this.#copies.set(id, copy);
    return copy;
  }
}
