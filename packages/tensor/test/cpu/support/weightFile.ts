import { writeFileSync } from 'node:fs';
import type { StorageType, Weight } from '../../../src/weight.ts';
import type { Shape } from '../../../src/index.ts';
import { inMemory } from './compute.ts';

const stored: Partial<Record<StorageType, (values: Float32Array) => ArrayBufferView>> = {
  f32: (values) => values,
  f64: (values) => Float64Array.from(values),
  f16: (values) => new Float16Array(values),
  // Cut off, not rounded: the values of these tests need no more digits.
  bf16: (values) => new Uint16Array(values.buffer).filter((_, i) => i % 2 === 1),
};

export interface Stored {
  readonly values: Float32Array;
  readonly shape: Shape;
  readonly dtype?: StorageType;
  /** Bytes between it and the one before. */
  readonly gap?: number;
}

/** Writes a file of tensors, one after the other behind 16 bytes of something else. */
export function writeWeights(
  path: string,
  tensors: Readonly<Record<string, Stored>>,
): Map<string, Weight> {
  const parts: Uint8Array[] = [new Uint8Array(16).fill(255)];
  let offset = 16;
  const weights = new Map<string, Weight>();
  for (const [name, { values, shape, dtype = 'f32', gap = 0 }] of Object.entries(tensors)) {
    const { buffer, byteOffset, byteLength } = stored[dtype]!(values);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    parts.push(new Uint8Array(gap).fill(255), bytes);
    offset += gap;
    weights.set(name, {
      dtype,
      shape,
      file: { path, offset, length: byteLength },
      read: dtype === 'f32' ? inMemory(values, shape).read : () => bytes,
    });
    offset += byteLength;
  }
  writeFileSync(path, Buffer.concat(parts));
  return weights;
}
