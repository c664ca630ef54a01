import { internal, type StorageType, UserError, type Weight } from '@sdft/tensor';
import { elementCount, elementSize } from './storageType.ts';

/** Bytes that are read when asked for: a file, or an array in memory. */
export interface ByteSource {
  /** Path of the file, or what else a message should call it. */
  readonly name: string;
  /** Whether `name` is the path of a file in which others may map the same bytes. */
  readonly isFile: boolean;
  readonly size: number;
  /** A new array, or a view for a source in memory. Throws UserError where the bytes cannot be read. */
  read(offset: number, length: number): Uint8Array;
}

/** Makes a source of an array in memory. */
export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    isFile: false,
    size: bytes.length,
    read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.length) {
        throw internal(`read of ${length} bytes at ${offset} from ${name} of ${bytes.length}`);
      }
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A weight whose bytes lie contiguous in a source; the caller has checked that they do. */
export function weightIn(
  source: ByteSource,
  dtype: StorageType,
  shape: readonly number[],
  offset: number,
): Weight {
  const length = elementCount(shape) * elementSize[dtype];
  const weight = Object.freeze({
    dtype,
    shape: Object.freeze([...shape]),
    ...(source.isFile && { file: Object.freeze({ path: source.name, offset, length }) }),
    read: () => source.read(offset, length),
  });
  places.set(weight, { source, offset });
  return weight;
}

/** Where weights lie, so that a part of one can be read without the rest. */
const places = new WeakMap<Weight, { readonly source: ByteSource; readonly offset: number }>();

/** A weight in memory. The bytes are not copied. */
export function weightOf(dtype: StorageType, shape: readonly number[], bytes: Uint8Array): Weight {
  const length = elementCount(shape) * elementSize[dtype];
  if (bytes.length !== length) {
    throw internal(
      `${bytes.length} bytes given for ${dtype} [${shape.join(',')}], which needs ${length}`,
    );
  }
  return Object.freeze({ dtype, shape: Object.freeze([...shape]), read: () => bytes });
}

/**
 * The same bytes, or a contiguous part of them, under another shape: nothing is copied, and a weight in a file stays one.
 *
 * @param first index of the first element of the part
 */
export function viewWeight(weight: Weight, shape: readonly number[], first = 0): Weight {
  const start = first * elementSize[weight.dtype];
  const length = elementCount(shape) * elementSize[weight.dtype];
  if (first + elementCount(shape) > elementCount(weight.shape)) {
    throw internal(`view [${shape.join(',')}] at ${first} of [${weight.shape.join(',')}]`);
  }
  const place = places.get(weight);
  if (place) return weightIn(place.source, weight.dtype, shape, place.offset + start);
  return Object.freeze({
    dtype: weight.dtype,
    shape: Object.freeze([...shape]),
    ...(weight.file && {
      file: Object.freeze({ path: weight.file.path, offset: weight.file.offset + start, length }),
    }),
    read: () => weight.read().subarray(start, start + length),
  });
}

/** Weights joined along their first axis, read when asked for. */
export function concatenateWeights(parts: readonly Weight[]): Weight {
  const [head] = parts;
  if (!head) throw internal('nothing to concatenate');
  const rows = parts.reduce((sum, part) => sum + part.shape[0]!, 0);
  const shape = [rows, ...head.shape.slice(1)];
  if (
    parts.some(
      (part) =>
        part.dtype !== head.dtype || String(part.shape.slice(1)) !== String(head.shape.slice(1)),
    )
  ) {
    throw new UserError(
      `parts of one tensor differ: ${parts.map((part) => `${part.dtype} [${part.shape.join(',')}]`).join(', ')}`,
    );
  }
  return Object.freeze({
    dtype: head.dtype,
    shape: Object.freeze(shape),
    read() {
      const bytes = new Uint8Array(elementCount(shape) * elementSize[head.dtype]);
      let at = 0;
      for (const part of parts) {
        bytes.set(part.read(), at);
        at += elementCount(part.shape) * elementSize[part.dtype];
      }
      return bytes;
    },
  });
}
