/** @file Reverse-mode differentiation: from a scalar and the tensors it depends on to the nodes of its gradient, in the same graph. */
import { internal, UserError } from '../errors.ts';
import { type AnyNode, type NodeId, type Primitive, showShape } from '../graph/types.ts';
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
  const { builder } = loss;
  const tensor = (id: NodeId) => new Tensor(builder, id);
  const depends = dependents(loss, wrt);
  const cotangents = new Map<NodeId, Tensor>();
  const collect = (id: NodeId, cotangent: Tensor | undefined): void => {
    if (!cotangent || !depends.has(id)) return;
    const before = cotangents.get(id);
    cotangents.set(id, before ? before.add(cotangent) : cotangent);
  };
  const partCotangents = new Map<NodeId, Map<number, Tensor>>();
  const again = new Recompute(builder);

  if (depends.has(loss.id)) cotangents.set(loss.id, constant(builder, 1).broadcastTo(loss.shape));
  for (let id = loss.id; id >= 0; id--) {
    if (!depends.has(id)) continue;
    const node = builder.node(id);
    const incoming =
      node.op === 'composite'
        ? (partCotangents.get(id)?.get(0) ?? cotangents.get(id))
        : cotangents.get(id);
    if (!incoming && !partCotangents.has(id)) continue;
    if (node.op === 'part') {
      const composite = node.inputs[0]!;
      const parts = partCotangents.get(composite) ?? new Map<number, Tensor>();
      partCotangents.set(composite, parts.set(node.attrs.index, incoming!));
      continue;
    }
    const wanted = node.inputs.map((input) => depends.has(input));
    const value = (of: NodeId): NodeId => again.valueFor(of, node.region, incoming!);
    const back =
      node.op === 'composite'
        ? throughComposite(node, id, wanted, incoming, partCotangents.get(id), value)
        : ruleOf(node)({
            inputs: node.inputs.map((i) => tensor(value(i))),
            output: tensor(value(id)),
            cotangent: incoming!,
            attrs: node.attrs,
            wanted,
          });
    node.inputs.forEach((input, i) => collect(input, back[i]));
  }
  return wrt.map((t) => cotangents.get(t.id) ?? constant(builder, 0).broadcastTo(t.shape));

  function throughComposite(
    node: AnyNode & { op: 'composite' },
    id: NodeId,
    wanted: boolean[],
    incoming: Tensor | undefined,
    parts: Map<number, Tensor> | undefined,
    value: (id: NodeId) => NodeId,
  ): (Tensor | undefined)[] {
    const { definition, options, outputs } = node.attrs;
    if ([...(parts?.keys() ?? [])].some((k) => k > 0))
      throw internal(`a gradient flows into a side result of ${definition.name}`);
    const inputs = node.inputs.map(value);
    const results =
      outputs.length === 1
        ? [value(id)]
        : outputs.map((_, index) => builder.add('part', [value(id)], { index }));
    if (definition.vjp)
      return definition
        .vjp(builder, { inputs, outputs: results, cotangents: [incoming!.id], wanted, options })
        .map((back) => (back === undefined ? undefined : tensor(back)));
    // The gradient of <spelled out, cotangent> with the cotangent held fixed is the vector-Jacobian product; stopGradient cuts the inputs from one another.
    const leaves = inputs.map((input) => tensor(input).stopGradient());
    const spelled = tensor(
      definition.expand(
        builder,
        leaves.map((leaf) => leaf.id),
        options,
      )[0]!,
    );
    const back = grad(spelled.mul(incoming!.stopGradient()).sum(), leaves);
    return back.map((t, i) =>
      wanted[i] && leaves.findIndex((leaf) => leaf.id === leaves[i]!.id) === i ? t : undefined,
    );
  }
}

const ruleOf = <P extends Primitive>(node: AnyNode): VjpRule<P> =>
  (vjpRules as unknown as Record<string, VjpRule<P>>)[node.op]!;

/** The nodes through which `loss` depends on any of `wrt`, those included. */
function dependents(loss: Tensor, wrt: readonly Tensor[]): Set<NodeId> {
  const { builder } = loss;
  const needed = new Set<NodeId>([loss.id]);
  for (let id = loss.id; id >= 0; id--)
    if (needed.has(id)) for (const input of builder.node(id).inputs) needed.add(input);
  const sources = new Set(wrt.map((t) => t.id));
  const result = new Set<NodeId>();
  for (let id = 0; id <= loss.id; id++) {
    if (!needed.has(id)) continue;
    const node = builder.node(id);
    const blocked = node.op === 'stopGradient' || node.dtype !== 'f32';
    if (sources.has(id) || (!blocked && node.inputs.some((input) => result.has(input))))
      result.add(id);
  }
  return result;
}
