import { type StorageType, UserError, type Weight } from '@sdft/tensor';
import { type ByteSource, weightIn } from './byteSource.ts';
import {
  elementCount,
  elementSize,
  safetensorsName,
  showShape,
  storageTypeOf,
} from './storageType.ts';
import { show } from './show.ts';
import { duplicateKey } from './strictJson.ts';

/** Tensors of a file, in the order of its header, and its free-form texts. */
export interface TensorFile {
  readonly tensors: ReadonlyMap<string, Weight>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's limit (safetensors `tensor.rs`, MAX_HEADER_SIZE). */
const maxHeader = 100_000_000;

/** Bits of one element of every type that the format knows, those that are refused here among them. */
const knownBits: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    Object.entries(safetensorsName).map(([type, name]) => [
      name,
      8 * elementSize[type as StorageType],
    ]),
  ),
  U16: 16,
  U32: 32,
  U64: 64,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  C64: 64,
};

/** One line of a header. */
export interface HeaderEntry {
  readonly name: string;
  /** As the file writes it: F32, F16, ... */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly length: number;
}

/**
 * Reads and checks the header of a safetensors file; no tensor is touched.
 *
 * The rules are the reference implementation's: the header is at most 100 MB, tensors lie without gap or overlap and fill the
 * file, no name comes twice, every length fits dtype and shape.
 *
 * @throws UserError naming file and tensor
 */
export function readHeader(source: ByteSource): {
  entries: HeaderEntry[];
  metadata: Record<string, string>;
} {
  const where = source.name;
  const broken = (why: string): UserError =>
    new UserError(`${where}: not a whole safetensors file: ${why}`);
  if (source.size < 8) throw broken(`${source.size} bytes`);
  const length = new DataView(Uint8Array.from(source.read(0, 8)).buffer).getBigUint64(0, true);
  if (length > maxHeader)
    throw broken(`its header would be ${length} bytes long, more than ${maxHeader}`);
  const start = 8 + Number(length);
  if (start > source.size)
    throw broken(`the header ends at byte ${start}, the file at ${source.size}`);
  const header = parse(source.read(8, Number(length)), broken);
  const { __metadata__: texts, ...tensors } = header;
  const entries = Object.entries(tensors).map(([name, value]) => entry(name, value, start, broken));
  checkPlaces(entries, start, source.size, broken);
  return { entries, metadata: metadataOf(texts, broken) };
}

/**
 * Opens a safetensors file: reads its header, and each tensor when it is asked for.
 *
 * @throws UserError naming file and tensor where the file is malformed or holds a type that is not supported
 */
export function readSafetensors(source: ByteSource): TensorFile {
  const { entries, metadata } = readHeader(source);
  const tensors = new Map<string, Weight>();
  for (const { name, dtype, shape, offset } of entries) {
    const type = storageTypeOf(dtype);
    if (!type) {
      throw new UserError(
        `${source.name}: tensor ${name} is stored as ${dtype}, which is not supported; convert the file to F16 or F32`,
      );
    }
    tensors.set(name, weightIn(source, type, shape, offset));
  }
  return { tensors, metadata };
}

/**
 * Lays out a safetensors file: larger element sizes first so that every tensor is aligned, then by name, as the reference
 * implementation does; the header is padded with spaces to a multiple of 8 bytes.
 *
 * @returns the first bytes of the file, and the names in the order in which their bytes follow
 */
export function layOut(
  tensors: ReadonlyMap<string, Pick<Weight, 'dtype' | 'shape'>>,
  metadata: Readonly<Record<string, string>>,
): { head: Uint8Array; order: string[]; size: number } {
  const size = (name: string): number => elementSize[tensors.get(name)!.dtype];
  const order = [...tensors.keys()].sort((a, b) => size(b) - size(a) || (a < b ? -1 : 1));
  // A null prototype: a tensor may be called __proto__.
  const header: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0)
    header.__metadata__ = Object.fromEntries(keys.map((key) => [key, metadata[key]]));
  let offset = 0;
  for (const name of order) {
    if (name === '__metadata__')
      throw new UserError('a tensor cannot be called __metadata__ in a safetensors file');
    const { dtype, shape } = tensors.get(name)!;
    const end = offset + elementCount(shape) * elementSize[dtype];
    header[name] = { dtype: safetensorsName[dtype], shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / 8) * 8;
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(text, 8);
  return { head, order, size: head.length + offset };
}

type Refusal = (why: string) => UserError;

function parse(bytes: Uint8Array, broken: Refusal): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw broken('the header does not begin with {');
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw broken(`the header is not JSON (${(error as Error).message})`);
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw broken(`the header names ${show(twice)} twice`);
  // JSON.parse makes __proto__ an own property, which a copy by assignment would lose.
  return header as Record<string, unknown>;
}

function entry(name: string, value: unknown, start: number, broken: Refusal): HeaderEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
    throw broken(`tensor ${name} needs dtype, shape and data_offsets, has ${show(value)}`);
  }
  const bits = Object.hasOwn(knownBits, dtype) ? knownBits[dtype]! : undefined;
  if (bits === undefined) throw broken(`tensor ${name} has the unknown dtype ${dtype}`);
  const [from, to] = offsets as [number, number];
  const bytes = (elementCount(shape) * bits) / 8;
  if (bytes !== to - from) {
    throw broken(
      `tensor ${name}: ${dtype} ${showShape(shape)} needs ${bytes} bytes, data_offsets [${from},${to}] hold ${to - from}`,
    );
  }
  return { name, dtype, shape, offset: start + from, length: bytes };
}

function isSizes(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= 64 &&
    value.every((n) => Number.isSafeInteger(n) && n >= 0)
  );
}

function checkPlaces(
  entries: readonly HeaderEntry[],
  start: number,
  size: number,
  broken: Refusal,
): void {
  const placed = [...entries].sort((a, b) => a.offset - b.offset || a.length - b.length);
  let end = start;
  for (const { name, offset, length } of placed) {
    if (offset !== end) {
      const what =
        offset < end
          ? 'overlaps the tensor before it, which ends'
          : 'leaves a gap: the tensor before it ends';
      throw broken(`tensor ${name} begins at byte ${offset - start} and ${what} at ${end - start}`);
    }
    end = offset + length;
    if (end > size)
      throw broken(
        `tensor ${name} ends at byte ${end}, the file at ${size}; is it a download that was cut?`,
      );
  }
  if (end !== size) throw broken(`its tensors end at byte ${end}, the file at ${size}`);
}

function metadataOf(texts: unknown, broken: Refusal): Record<string, string> {
  if (texts === undefined) return {};
  if (
    typeof texts !== 'object' ||
    texts === null ||
    Array.isArray(texts) ||
    Object.values(texts).some((text) => typeof text !== 'string')
  ) {
    throw broken('__metadata__ must map names to texts');
  }
  return texts as Record<string, string>;
}
