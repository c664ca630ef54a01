/** @file Tensors in memory that several threads see. */
import { bytesOf } from '../../graph/rules.ts';
import type { DType, TensorType } from '../../graph/types.ts';

export type OrtType = 'float32' | 'int32' | 'bool' | 'uint8';
export interface SharedTensor {
  readonly name: string;
  readonly type: OrtType;
  readonly dims: readonly number[];
  readonly buffer: SharedArrayBuffer;
  /** Where in the buffer it begins, and how long it is. */
  readonly offset: number;
  readonly bytes: number;
}

const ortTypes: Readonly<Record<DType, OrtType>> = {
  f32: 'float32',
  i32: 'int32',
  bool: 'bool',
  u8: 'uint8',
};

/** A tensor that fills a buffer, by default a new one of zeros. */
export const share = (
  name: string,
  type: TensorType,
  buffer = new SharedArrayBuffer(bytesOf(type)),
): SharedTensor => ({
  name,
  type: ortTypes[type.dtype],
  dims: type.shape,
  buffer,
  offset: 0,
  bytes: buffer.byteLength,
});

/** Its elements where they lie. */
export const viewOf = ({
  type,
  buffer,
  offset,
  bytes,
}: SharedTensor): Float32Array | Int32Array | Uint8Array =>
  type === 'float32'
    ? new Float32Array(buffer, offset, bytes / 4)
    : type === 'int32'
      ? new Int32Array(buffer, offset, bytes / 4)
      : new Uint8Array(buffer, offset, bytes);
