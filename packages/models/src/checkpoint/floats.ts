/// <reference lib="es2025.float16" />
import { type StorageType, UserError, type Weight } from '@sdft/tensor';
import { elementSize, safetensorsName } from './storageType.ts';

/** Types in which checkpoints are written. */
export type FloatType = 'f32' | 'f16' | 'bf16';

/**
 * Widens stored numbers to f32. Exact for f32, f16, bf16 and the small integers; f64, i32 and i64 are rounded to nearest.
 *
 * @param bytes little-endian elements; any alignment
 * @returns a new array, except for aligned f32, where it is a view
 */
export function toFloat32(bytes: Uint8Array, dtype: StorageType): Float32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, dtype);
  switch (dtype) {
    case 'f32':
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case 'f16':
      return new Float32Array(new Float16Array(buffer, byteOffset, byteLength / 2));
    case 'bf16': {
      const words = Uint32Array.from(
        new Uint16Array(buffer, byteOffset, byteLength / 2),
        (high) => high << 16,
      );
      return new Float32Array(words.buffer);
    }
    case 'f64':
      return new Float32Array(new Float64Array(buffer, byteOffset, byteLength / 8));
    case 'i64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number);
    case 'i32':
      return new Float32Array(new Int32Array(buffer, byteOffset, byteLength / 4));
    case 'i16':
      return new Float32Array(new Int16Array(buffer, byteOffset, byteLength / 2));
    case 'i8':
      return new Float32Array(new Int8Array(buffer, byteOffset, byteLength));
    case 'u8':
    case 'bool':
      return new Float32Array(new Uint8Array(buffer, byteOffset, byteLength));
  }
}

/**
 * Narrows f32 to the type of a file, rounding to nearest, ties to even; what is too large for f16 becomes infinity.
 *
 * @returns little-endian bytes; a view of `values` for f32
 */
export function fromFloat32(values: Float32Array, dtype: FloatType): Uint8Array {
  switch (dtype) {
    case 'f32':
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case 'f16':
      return new Uint8Array(new Float16Array(values).buffer);
    case 'bf16': {
      const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
      const halves = new Uint16Array(values.length);
      for (let i = 0; i < words.length; i++) {
        const word = words[i]!;
        const isNaN = (word & 0x7fffffff) > 0x7f800000;
        // A NaN whose set bits are all in the lower half must not become infinity.
        halves[i] = isNaN ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
      }
      return new Uint8Array(halves.buffer);
    }
  }
}

/** Reads a weight as f32, whatever it is stored as. */
export function readFloat32(weight: Weight): Float32Array {
  return toFloat32(weight.read(), weight.dtype);
}

/**
 * The same numbers stored as another type: converted each time they are read, nothing is kept. The weight itself where it
 * has that type already.
 *
 * @param name for messages
 * @throws UserError from `read()` where a finite number is too large for f16
 */
export function castWeight(weight: Weight, dtype: FloatType, name: string): Weight {
  if (weight.dtype === dtype) return weight;
  return Object.freeze({
    dtype,
    shape: weight.shape,
    read() {
      const values = readFloat32(weight);
      const bytes = fromFloat32(values, dtype);
      if (
        dtype === 'f16' &&
        countNonFinite(bytes, 'f16') > countNonFinite(weight.read(), weight.dtype)
      ) {
        throw new UserError(
          `${name}: holds numbers beyond 65504, the largest of ${safetensorsName.f16}; write it as BF16 or F32`,
        );
      }
      return bytes;
    },
  });
}

/** How many of the stored numbers are NaN or infinite. Reads exponent bits; nothing is converted. */
export function countNonFinite(bytes: Uint8Array, dtype: StorageType): number {
  const { buffer, byteOffset, byteLength } = aligned(bytes, dtype);
  let count = 0;
  switch (dtype) {
    case 'f32': {
      const words = new Int32Array(buffer, byteOffset, byteLength / 4);
      for (let i = 0; i < words.length; i++) if ((words[i]! & 0x7f800000) === 0x7f800000) count++;
      return count;
    }
    case 'f16':
    case 'bf16': {
      const exponent = dtype === 'f16' ? 0x7c00 : 0x7f80;
      const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
      for (let i = 0; i < halves.length; i++) if ((halves[i]! & exponent) === exponent) count++;
      return count;
    }
    case 'f64': {
      const doubles = new Float64Array(buffer, byteOffset, byteLength / 8);
      for (let i = 0; i < doubles.length; i++) if (!Number.isFinite(doubles[i]!)) count++;
      return count;
    }
    default:
      return 0;
  }
}

/** A tensor that holds NaN or infinity. */
export interface NonFinite {
  readonly name: string;
  readonly count: number;
}

/**
 * Looks for NaN and infinity in every floating-point weight. Reads each weight once, one at a time: a second for 3.4 GB
 * that the system has in memory.
 */
export function findNonFinite(weights: Iterable<readonly [string, Weight]>): NonFinite[] {
  const found: NonFinite[] = [];
  for (const [name, weight] of weights) {
    if (!['f32', 'f16', 'bf16', 'f64'].includes(weight.dtype)) continue;
    const count = countNonFinite(weight.read(), weight.dtype);
    if (count > 0) found.push({ name, count });
  }
  return found;
}

function aligned(bytes: Uint8Array, dtype: StorageType): Uint8Array {
  // Not slice(), which makes a view of Node's Buffer.
  return bytes.byteOffset % elementSize[dtype] === 0 ? bytes : new Uint8Array(bytes);
}
