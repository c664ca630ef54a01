/** @file Frozen weights on their way to a device, piece by piece. */
import { UserError } from '../../errors.ts';
import { sizeOf } from '../../graph/types.ts';
import { widen } from '../../host/fromWeight.ts';
import type { StorageType, Weight } from '../../weight.ts';
import type { Storage } from './kernel.ts';

/** Bytes of a weight as they are stored, in pieces of whole elements, in order. Throws UserError where they cannot be read. */
export type ReadWeight = (weight: Weight, elementBytes: number) => Iterable<Uint8Array>;

const storedBytes: Readonly<Record<StorageType, number>> = {
  ...{ f64: 8, i64: 8, f32: 4, i32: 4, f16: 2, bf16: 2, i16: 2, i8: 1, u8: 1, bool: 1 },
};

/** All at once: for weights in memory, and where there are no files. */
export const readWhole: ReadWeight = (weight) => [weight.read()];

/** The pieces of a weight as they are to lie on the device. Throws UserError, naming the weight, if its bytes are not as many as its shape says. */
export function* pieces(
  name: string,
  weight: Weight,
  storage: Storage,
  read: ReadWeight,
): Generator<Uint8Array> {
  const each = storedBytes[weight.dtype];
  const wanted = sizeOf(weight.shape) * each;
  let seen = 0;
  try {
    for (const bytes of read(weight, each)) {
      seen += bytes.byteLength;
      if (seen > wanted || bytes.byteLength % each !== 0) break;
      if (bytes.byteLength < wanted || seen === wanted)
        yield inStorage(bytes, weight.dtype, storage);
    }
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${name}: ${error.message}`);
    throw error;
  }
  if (seen !== wanted)
    throw new UserError(
      `${name}: a tensor ${weight.dtype} [${weight.shape}] holds ${seen} bytes; it needs ${wanted}`,
    );
}

function inStorage(bytes: Uint8Array, dtype: StorageType, storage: Storage): Uint8Array {
  if ((dtype === 'f16' && storage === 'f16') || (dtype === 'f32' && storage === 'f32'))
    return bytes;
  const wide = widen({ dtype, shape: [bytes.byteLength / storedBytes[dtype]], read: () => bytes });
  const values = storage === 'f16' ? Float16Array.from(wide) : wide;
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
