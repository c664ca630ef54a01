import { UserError } from '@sdft/tensor';
import type { ByteSource } from './byteSource.ts';
import { readPickle } from './pickle.ts';
import { keyText, type PythonValue } from './pythonValue.ts';
import { elementSize } from './storageType.ts';
import { type StoragePlace, torchContext } from './torchTensors.ts';

/** What a file that PyTorch saved holds. */
export interface TorchFile {
  readonly value: PythonValue;
  /** Every class and function that it names, once each. None was called. */
  readonly names: readonly string[];
}

const magic = 0x1950a86a20f9469cfc6cn;

/** Whether a file begins as PyTorch's format before version 1.6 does. */
export function isTorchLegacy(source: ByteSource): boolean {
  if (source.size < 15) return false;
  const head = source.read(0, 15);
  const start = [0x80, 0x02, 0x8a, 0x0a];
  for (let rest = magic; rest > 0n; rest >>= 8n) start.push(Number(rest & 0xffn));
  return start.every((byte, i) => head[i] === byte);
}

/**
 * Reads PyTorch's format before version 1.6: five pickles (magic number, protocol version, facts about the machine, the value, the names of
 * the storages), then each storage as its length in elements and its bytes. Source: torch `serialization.py`, `_legacy_load`.
 *
 * @throws UserError naming the file
 */
export function readTorchLegacy(source: ByteSource): TorchFile {
  const broken = (why: string): UserError =>
    new UserError(`${source.name}: not a whole PyTorch file: ${why}`);
  const pickle = (start: number, context = {}) =>
    readPickle(source, start, source.size - start, context);
  const first = pickle(0);
  const version = pickle(first.end);
  if (first.value !== magic || version.value !== 1001)
    throw broken('it has another magic number or version');
  const machine = pickle(version.end);
  if (machine.value instanceof Map && machine.value.get('little_endian') === false) {
    throw broken('it was written on a big-endian machine, which is not supported');
  }

  // The storages' places are known only after the value was read, so it is read twice: for their sizes, then for good.
  const sizes = new Map<string, number>();
  const names = new Set<string>();
  const anywhere: StoragePlace = { source, offset: 0, length: Number.MAX_SAFE_INTEGER };
  const sketch = pickle(
    machine.end,
    torchContext(
      source.name,
      () => anywhere,
      ({ key, dtype }) => sizes.set(key, elementSize[dtype]),
    ),
  );
  const { value: keys, end } = pickle(sketch.end);
  if (!Array.isArray(keys)) throw broken('its list of storages is missing');

  const places = new Map<string, StoragePlace>();
  let at = end;
  for (const key of keys) {
    const size = sizes.get(keyText(key));
    if (size === undefined) throw broken(`no tensor uses storage ${keyText(key)}`);
    if (at + 8 > source.size)
      throw broken(`it ends before storage ${keyText(key)}; is it a download that was cut?`);
    const elements = new DataView(Uint8Array.from(source.read(at, 8)).buffer).getBigInt64(0, true);
    const length = Number(elements) * size;
    if (elements < 0n || at + 8 + length > source.size) {
      throw broken(
        `storage ${keyText(key)} of ${elements} elements reaches beyond its end; is it a download that was cut?`,
      );
    }
    places.set(keyText(key), { source, offset: at + 8, length });
    at += 8 + length;
  }
  const { value } = pickle(machine.end, {
    ...torchContext(source.name, (key) => {
      const place = places.get(key);
      if (!place) throw broken(`storage ${key} is missing`);
      return place;
    }),
    named: (name: string) => names.add(name),
  });
  return { value, names: [...names] };
}
