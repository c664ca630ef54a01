/** @file Composites: functions with a name, defined in primitives, that a backend may have a kernel for and that may bring their own gradient. */
import { UserError } from '../errors.ts';
import { GraphBuilder } from '../graph/builder.ts';
import type { CompositeDefinition, NodeSink, Options, TensorType } from '../graph/types.ts';
import { Tensor } from '../trace/tensor.ts';

export interface Composite<O extends Options> {
  /** What it computes, in primitives and other composites. Its first result is the value; the others are what its gradient needs. */
  readonly define: (inputs: Tensor[], options: O) => Tensor[];
  /** The cotangent of each input (undefined: none), from those of the results. Absent: `define` is differentiated. */
  readonly gradient?: (call: GradientCall<O>) => (Tensor | undefined)[];
}

export interface GradientCall<O extends Options> {
  readonly inputs: Tensor[];
  readonly outputs: Tensor[];
  /** The cotangent of the first result. */
  readonly cotangent: Tensor;
  /** Which inputs need a cotangent. */
  readonly wanted: readonly boolean[];
  readonly options: O;
}

/** A callable composite: `define` says what it means, and its results are parts of one node. */
export function composite<O extends Options>(
  name: string,
  { define, gradient }: Composite<O>,
): { (inputs: readonly Tensor[], options: O): Tensor[]; readonly definition: CompositeDefinition } {
  const wrap = (builder: NodeSink, ids: readonly number[]) =>
    ids.map((id) => new Tensor(builder, id));
  const definition: CompositeDefinition = {
    name,
    expand: (builder, inputs, options) =>
      define(wrap(builder, inputs), options as O).map((t) => t.id),
    ...(gradient && {
      vjp: (builder, { inputs, outputs, cotangents, wanted, options }) =>
        gradient({
          inputs: wrap(builder, inputs),
          outputs: wrap(builder, outputs),
          cotangent: new Tensor(builder, cotangents[0]!),
          wanted,
          options: options as O,
        }).map((t) => t?.id),
    }),
  };
  const call = (inputs: readonly Tensor[], options: O): Tensor[] => {
    const builder = inputs[0]!.builder;
    const outputs = typesOf(definition, inputs, options);
    const node = builder.add(
      'composite',
      inputs.map((t) => t.id),
      { definition, options, outputs },
    );
    return outputs.length === 1
      ? [new Tensor(builder, node)]
      : outputs.map((_, index) => new Tensor(builder, builder.add('part', [node], { index })));
  };
  return Object.assign(call, { definition });
}

/** Types that were found before, by what they depend on. */
const known = new WeakMap<CompositeDefinition, Map<string, readonly TensorType[]>>();

/** Types of the results, by expanding in a builder that is thrown away. */
function typesOf(
  definition: CompositeDefinition,
  inputs: readonly Tensor[],
  options: Options,
): readonly TensorType[] {
  const key = JSON.stringify([inputs.map(({ shape, dtype }) => [shape, dtype]), options]);
  const earlier = known.get(definition) ?? new Map<string, readonly TensorType[]>();
  known.set(definition, earlier);
  const found = earlier.get(key);
  if (found) return found;
  const scratch = new GraphBuilder();
  const stand = inputs.map(({ shape, dtype }, i) =>
    scratch.add('input', [], { name: String(i), type: { shape, dtype }, state: false }),
  );
  const types = scratch
    .at(inputs[0]!.builder.path, () => definition.expand(scratch, stand, options))
    .map((id) => ({ shape: scratch.node(id).shape, dtype: scratch.node(id).dtype }));
  for (let id = 0; id < scratch.size; id++) {
    const node = scratch.node(id);
    if (node.op === 'custom')
      throw new UserError(
        `the composite ${definition.name} uses customOp ${node.attrs.definition.name}; a composite is made of primitives: call the operation outside of it`,
      );
  }
  earlier.set(key, types);
  return types;
}
