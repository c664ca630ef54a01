import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { explainFileError, writeSafetensors } from '@sdft/models/node';
import type { HostArray, Weight } from '@sdft/tensor';

/** A record that grows. */
export interface Record {
  /** Adds the tensors of micro-step k. f32 is written as it is, i32 as I64. */
  add(k: number, tensors: Readonly<{ [name: string]: HostArray }>): Promise<void>;
  /** Writes the file as it is so far, whole or not at all. */
  write(): Promise<void>;
  /** Lets go of everything that is not written. */
  dispose(): void;
}

/**
 * Records micro-steps to a safetensors file. The header of that format comes first and names every tensor, so the numbers are gathered in a temporary file beside the
 * system's others and put together by `write`; memory holds only names and places.
 *
 * @throws UserError from `write` where the file exists, unless `force`, or cannot be written
 */
export function recordFile(path: string, { force = false } = {}): Record {
  const folder = mkdtempSync(join(tmpdir(), 'sdft-record-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  const numbers = join(folder, 'numbers');
  const file = openSync(numbers, 'w+');
  const tensors = new Map<string, Weight>();
  let length = 0;
  let written = false;
  let open = true;

  const append = (name: string, bytes: Uint8Array, array: HostArray): void => {
    try {
      for (let at = 0; at < bytes.length; )
        at += writeSync(file, bytes, at, bytes.length - at, length + at);
    } catch (error) {
      throw explainFileError(dirname(numbers), error);
    }
    const offset = length;
    length += bytes.length;
    tensors.set(name, {
      dtype: array.dtype === 'float32' ? 'f32' : 'i64',
      shape: [...array.shape],
      read: () => {
        const copy = new Uint8Array(bytes.length);
        for (let at = 0; at < copy.length; )
          at += readSync(file, copy, at, copy.length - at, offset + at);
        return copy;
      },
    });
  };

  return {
    add: async (k, given) => {
      for (const [name, array] of Object.entries(given))
        append(`${k}.${name}`, bytesOf(array), array);
    },
    write: async () => {
      // Written again by the same run, the file is its own.
      await writeSafetensors(path, tensors, { force: force || written });
      written = true;
    },
    dispose: () => {
      if (!open) return;
      open = false;
      closeSync(file);
      process.off('exit', remove);
      remove();
    },
  };
}

function bytesOf({ data }: HostArray): Uint8Array {
  const values =
    data instanceof Float32Array ? data : BigInt64Array.from(data, (value) => BigInt(value));
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
