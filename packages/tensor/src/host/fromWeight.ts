/** @file Stored numbers widened to what the engine computes in. */
import { UserError } from '../errors.ts';
import { sizeOf } from '../graph/types.ts';
import type { StorageType, Weight } from '../weight.ts';

const elementBytes: Readonly<Record<StorageType, number>> = {
  f64: 8,
  i64: 8,
  f32: 4,
  i32: 4,
  f16: 2,
  bf16: 2,
  i16: 2,
  i8: 1,
  u8: 1,
  bool: 1,
};

/** The weight as f32, rounded to nearest where it is stored finer. Throws UserError if its bytes are not as many as its shape says. */
export function widen(weight: Weight): Float32Array {
  const bytes = weight.read();
  const count = sizeOf(weight.shape);
  if (bytes.byteLength !== count * elementBytes[weight.dtype])
    throw new UserError(
      `a tensor ${weight.dtype} [${weight.shape}] holds ${bytes.byteLength} bytes; it needs ${count * elementBytes[weight.dtype]}`,
    );
  const aligned = bytes.byteOffset % elementBytes[weight.dtype] === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  switch (weight.dtype) {
    case 'f32':
      return new Float32Array(buffer, byteOffset, count);
    case 'f64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case 'f16':
      return Float32Array.from(new Float16Array(buffer, byteOffset, count));
    case 'bf16': {
      const words = new Uint32Array(count);
      new Uint16Array(buffer, byteOffset, count).forEach((half, i) => {
        words[i] = half << 16;
      });
      return new Float32Array(words.buffer);
    }
    case 'i64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, count), Number);
    case 'i32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, count));
    case 'i16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, count));
    case 'i8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, count));
    case 'u8':
    case 'bool':
      return Float32Array.from(new Uint8Array(buffer, byteOffset, count));
  }
}
