import type { StorageType } from '@sdft/tensor';

/** Bytes of one element. */
export const elementSize: Readonly<Record<StorageType, number>> = {
  f32: 4,
  f16: 2,
  bf16: 2,
  f64: 8,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u8: 1,
  bool: 1,
};

/** Names as safetensors writes them. */
export const safetensorsName: Readonly<Record<StorageType, string>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  f64: 'F64',
  i64: 'I64',
  i32: 'I32',
  i16: 'I16',
  i8: 'I8',
  u8: 'U8',
  bool: 'BOOL',
};

const fromName = new Map(
  Object.entries(safetensorsName).map(([type, name]) => [name, type as StorageType]),
);

/** The storage type that safetensors calls `name`; undefined for those that are not supported here. */
export function storageTypeOf(name: string): StorageType | undefined {
  return fromName.get(name);
}

/** Product of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** `[2,3]` as people write it. */
export function showShape(shape: readonly number[]): string {
  return `[${shape.join(',')}]`;
}
