/** @file Reverse-mode differentiation: from a scalar and the tensors it depends on to the nodes of its gradient, in the same graph. */
import { UserError } from '../errors.ts';
import {
  type AnyNode,
  type NodeId,
  type NodeSink,
  type Primitive,
  showShape,
} from '../graph/types.ts';
import { constant, Tensor } from '../trace/tensor.ts';
import { Recompute } from './recompute.ts';
import { type VjpRule, vjpRules } from './vjp.ts';

/**
 * The gradient of `loss` (f32, one element) with respect to each of `wrt`: tensors of their shapes, zeros where the loss does not depend on one.
 * What was traced inside `recompute` is computed again for it. Throws UserError if the loss is no scalar.
 */
export function grad(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.size !== 1 || loss.dtype !== 'f32')
    throw new UserError(
      `grad: the loss must be one f32 number, got ${loss.dtype} ${showShape(loss.shape)}; take its mean or sum`,
    );
  const one = constant(loss.builder, 1).broadcastTo(loss.shape);
  return pullBack(loss.builder, new Map([[loss.id, one]]), wrt);
}

/** What the cotangents of some nodes, `seeds`, mean for each of `wrt`: the sum over the seeds of their vector-Jacobian products. */
function pullBack(
  builder: NodeSink,
  seeds: ReadonlyMap<NodeId, Tensor>,
  wrt: readonly Tensor[],
): Tensor[] {
  const tensor = (id: NodeId) => new Tensor(builder, id);
  const last = Math.max(...seeds.keys());
  const depends = dependents(builder, [...seeds.keys()], wrt);
  const cotangents = new Map([...seeds].filter(([id]) => depends.has(id)));
  const collect = (id: NodeId, cotangent: Tensor | undefined): void => {
    if (!cotangent || !depends.has(id)) return;
    const before = cotangents.get(id);
    cotangents.set(id, before ? before.add(cotangent) : cotangent);
  };
  /** Of a composite that has several results: the cotangents of those that got one, by index. */
  const partCotangents = new Map<NodeId, Map<number, Tensor>>();
  const again = new Recompute(builder);

  for (let id = last; id >= 0; id--) {
    if (!depends.has(id)) continue;
    const node = builder.node(id);
    const own = cotangents.get(id);
    if (node.op === 'part') {
      const composite = node.inputs[0]!;
      const parts = partCotangents.get(composite) ?? new Map<number, Tensor>();
      if (own) partCotangents.set(composite, parts.set(node.attrs.index, own));
      continue;
    }
    const incoming = partCotangents.get(id) ?? (own && new Map([[0, own]]));
    const wanted = node.inputs.map((input) => depends.has(input));
    if (!incoming || !wanted.includes(true)) continue;
    const [cotangent] = incoming.values();
    const value = (of: NodeId): NodeId => again.valueFor(of, node.region, cotangent!);
    const back = builder.at(node.path, () =>
      node.op === 'composite'
        ? throughComposite(node, id, wanted, incoming, value)
        : ruleOf(node)({
            inputs: node.inputs.map((i) => tensor(value(i))),
            output: tensor(value(id)),
            cotangent: cotangent!,
            attrs: node.attrs,
            wanted,
          }),
    );
    node.inputs.forEach((input, i) => collect(input, back[i]));
  }
  return wrt.map((t) => cotangents.get(t.id) ?? constant(builder, 0).broadcastTo(t.shape));

  function throughComposite(
    node: AnyNode & { op: 'composite' },
    id: NodeId,
    wanted: boolean[],
    incoming: ReadonlyMap<number, Tensor>,
    value: (id: NodeId) => NodeId,
  ): (Tensor | undefined)[] {
    const { definition, options, outputs } = node.attrs;
    const inputs = node.inputs.map(value);
    // A gradient by hand knows the first result only; side results get cotangents when a gradient is differentiated again.
    if (definition.vjp && incoming.size === 1 && incoming.has(0)) {
      const results =
        outputs.length === 1
          ? [value(id)]
          : outputs.map((_, index) => builder.add('part', [value(id)], { index }));
      return definition
        .vjp(builder, {
          inputs,
          outputs: results,
          cotangents: [incoming.get(0)!.id],
          wanted,
          options,
        })
        .map((back) => (back === undefined ? undefined : tensor(back)));
    }
    // stopGradient cuts the inputs from one another: each gets its own share even where one is made of another.
    const leaves = inputs.map((input) => tensor(input).stopGradient());
    const spelled = definition.expand(
      builder,
      leaves.map((leaf) => leaf.id),
      options,
    );
    const ends = new Map<NodeId, Tensor>();
    for (const [index, cotangent] of incoming) {
      const before = ends.get(spelled[index]!);
      ends.set(spelled[index]!, before ? before.add(cotangent) : cotangent);
    }
    const back = pullBack(builder, ends, leaves);
    return back.map((t, i) =>
      wanted[i] && leaves.findIndex((leaf) => leaf.id === leaves[i]!.id) === i ? t : undefined,
    );
  }
}

const ruleOf = <P extends Primitive>(node: AnyNode): VjpRule<P> =>
  (vjpRules as unknown as Record<string, VjpRule<P>>)[node.op]!;

/** The nodes through which any of `ends` depends on any of `wrt`, those included. */
function dependents(
  builder: NodeSink,
  ends: readonly NodeId[],
  wrt: readonly Tensor[],
): Set<NodeId> {
  const last = Math.max(...ends);
  const needed = new Set<NodeId>(ends);
  for (let id = last; id >= 0; id--)
    if (needed.has(id)) for (const input of builder.node(id).inputs) needed.add(input);
  const sources = new Set(wrt.map((t) => t.id));
  const result = new Set<NodeId>();
  for (let id = 0; id <= last; id++) {
    if (!needed.has(id)) continue;
    const node = builder.node(id);
    const blocked = node.op === 'stopGradient' || node.dtype !== 'f32';
    if (sources.has(id) || (!blocked && node.inputs.some((input) => result.has(input))))
      result.add(id);
  }
  return result;
}
