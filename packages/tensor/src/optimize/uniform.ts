/** @file Tensors of which every element is the same known number: a constant of one element, repeated. */
import {
  type DType,
  type NodeId,
  type NodeSink,
  type Shape,
  sizeOf,
  type TensorType,
} from '../graph/types.ts';

/** The number that every element of `id` is, if the graph says so. */
export function uniformValue(builder: NodeSink, id: NodeId): number | undefined {
  const node = builder.node(id);
  if (node.op === 'constant') return node.attrs.data.length === 1 ? node.attrs.data[0] : undefined;
  if (node.op === 'broadcast') return uniformValue(builder, node.inputs[0]!);
  return undefined;
}

/** `value` in every element: a constant of one element, which only `broadcast` repeats, so that no backend stores it more than once. */
export function uniform(
  builder: NodeSink,
  value: number,
  { shape, dtype }: { shape: Shape; dtype: DType },
): NodeId {
  const single: TensorType = { shape: shape.map(() => 1), dtype };
  const constant = builder.add('constant', [], { data: [value], type: single });
  return sizeOf(shape) === 1 ? constant : builder.add('broadcast', [constant], { shape });
}
