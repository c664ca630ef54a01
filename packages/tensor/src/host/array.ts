/** @file Arrays on the host: scijs `ndarray`s, which may be transposed or strided views. */
import ndarray, { type NdArray } from 'ndarray';
import type { HostArray, HostData } from '../backend.ts';
import { UserError } from '../errors.ts';
import {
  type Shape,
  sameShape,
  showShape,
  sizeOf,
  stridesOf,
  type TensorType,
} from '../graph/types.ts';

/** A row-major ndarray over `data`, without a copy. */
export function hostArray<T extends HostData>(data: T, shape: Shape): NdArray<T> {
  return ndarray(data, [...shape]) as unknown as NdArray<T>;
}

/** Copies `value` row-major into `target` of `shape`, whatever the strides of `value`. Throws UserError, naming `name`, if shape or element type differ. */
export function copyInto(target: HostData, shape: Shape, value: HostArray, name: string): void {
  const { data, stride, offset } = value;
  if (!sameShape(value.shape, shape))
    throw new UserError(
      `${name} must have the shape ${showShape(shape)}, got ${showShape(value.shape)}`,
    );
  if (data.constructor !== target.constructor)
    throw new UserError(
      `${name} must hold its numbers in ${target.constructor.name}, got ${data.constructor.name}`,
    );
  const rowMajor = stridesOf(shape);
  if (stride.every((s, i) => s === rowMajor[i] || shape[i] === 1)) {
    target.set(data.subarray(offset, offset + sizeOf(shape)));
    return;
  }
  const index = new Array<number>(shape.length).fill(0);
  let from = offset;
  for (let to = 0; to < target.length; to++) {
    target[to] = data[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= stride[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
}

/** The elements of `value`, row-major, in an array of their own. Throws UserError, naming `name`, if shape or element type are not those of `type`. */
export function hostData(value: HostArray, type: TensorType, name: string): HostData {
  const data = hostDataOf(type);
  copyInto(data, type.shape, value, name);
  return data;
}

/** Zeros for a tensor of this type. */
export function hostDataOf({ shape, dtype }: TensorType): HostData {
  const size = sizeOf(shape);
  return dtype === 'f32'
    ? new Float32Array(size)
    : dtype === 'i32'
      ? new Int32Array(size)
      : new Uint8Array(size);
}
