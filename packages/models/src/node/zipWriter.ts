/** @file Zip archives whose files are stored as they are, of any size. Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5. */
import { crc32 } from 'node:zlib';

/** Numbers from here on stand in fields of zip64, and this in their place. */
const LIMIT = 0xffff_ffff;
const COUNT_LIMIT = 0xffff;
/** Contents begin at multiples of this, as in PyTorch's archives, so that they can be mapped. */
const ALIGNMENT = 64;
/** The version that knows zip64, 4.5. */
const VERSION = 45;
/** 1980-01-01, the first day of the format: the same files give the same bytes. */
const DATE = (1 << 5) | 1;
/** Names are UTF-8. */
const FLAGS = 0x0800;
const ZIP64 = 0x0001;
/** What PyTorch calls the field that holds nothing but padding. */
const PADDING = 0x4246;

/** What the archive's directory says of a file. */
interface Stored {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly size: number;
  readonly offset: number;
}

/**
 * Writes an archive, file after file; each is asked for when its turn comes. What is larger than 4 GB, or lies behind so much, is written as zip64 has it.
 *
 * @param members names and contents, in order
 */
export function* zipStored(
  members: Iterable<readonly [name: string, bytes: Uint8Array]>,
): Generator<Uint8Array> {
  const directory: Stored[] = [];
  let at = 0;
  for (const [path, bytes] of members) {
    const name = new TextEncoder().encode(path);
    const stored = { name, crc: crcOf(bytes), size: bytes.length, offset: at };
    const head = localHeader(stored);
    yield head;
    yield bytes;
    at += head.length + bytes.length;
    directory.push(stored);
  }
  const start = at;
  for (const stored of directory) {
    const entry = directoryEntry(stored);
    yield entry;
    at += entry.length;
  }
  yield archiveEnd(directory.length, start, at);
}

/** Before each file; ends where its contents may begin. */
function localHeader({ name, crc, size, offset }: Stored): Uint8Array {
  const large = zip64Field(size >= LIMIT ? [size, size] : []);
  const unpadded = offset + 30 + name.length + large.length + 4;
  const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT;
  return joined(
    ...[u32(0x04034b50), u16(VERSION), u16(FLAGS), u16(0), u16(0), u16(DATE), u32(crc)],
    ...[u32(Math.min(size, LIMIT)), u32(Math.min(size, LIMIT))],
    ...[u16(name.length), u16(large.length + 4 + padding), name, large],
    ...[u16(PADDING), u16(padding), new Uint8Array(padding)],
  );
}

function directoryEntry({ name, crc, size, offset }: Stored): Uint8Array {
  const large = zip64Field([size, size, offset].filter((value) => value >= LIMIT));
  return joined(
    ...[u32(0x02014b50), u16(VERSION), u16(VERSION), u16(FLAGS), u16(0), u16(0), u16(DATE)],
    ...[u32(crc), u32(Math.min(size, LIMIT)), u32(Math.min(size, LIMIT))],
    ...[u16(name.length), u16(large.length), u16(0), u16(0), u16(0), u32(0)],
    ...[u32(Math.min(offset, LIMIT)), name, large],
  );
}

/** After the directory, which lies from `start` to `end`. */
function archiveEnd(count: number, start: number, end: number): Uint8Array {
  const size = end - start;
  const isLarge = count >= COUNT_LIMIT || size >= LIMIT || start >= LIMIT;
  const large = [
    ...[u32(0x06064b50), u64(44), u16(VERSION), u16(VERSION), u32(0), u32(0)],
    ...[u64(count), u64(count), u64(size), u64(start)],
    ...[u32(0x07064b50), u32(0), u64(end), u32(1)],
  ];
  const few = Math.min(count, COUNT_LIMIT);
  return joined(
    ...(isLarge ? large : []),
    ...[u32(0x06054b50), u16(0), u16(0), u16(few), u16(few)],
    ...[u32(Math.min(size, LIMIT)), u32(Math.min(start, LIMIT)), u16(0)],
  );
}

const zip64Field = (values: readonly number[]): Uint8Array =>
  values.length === 0
    ? new Uint8Array(0)
    : joined(u16(ZIP64), u16(8 * values.length), ...values.map(u64));

/** In parts: zlib counts in 32 bits. */
function crcOf(bytes: Uint8Array): number {
  const most = 2 ** 30;
  let crc = 0;
  for (let at = 0; at < bytes.length; at += most) crc = crc32(bytes.subarray(at, at + most), crc);
  return crc;
}

function bytesOf(length: number, set: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  set(new DataView(bytes.buffer));
  return bytes;
}
const u16 = (value: number): Uint8Array => bytesOf(2, (view) => view.setUint16(0, value, true));
const u32 = (value: number): Uint8Array => bytesOf(4, (view) => view.setUint32(0, value, true));
const u64 = (value: number): Uint8Array =>
  bytesOf(8, (view) => view.setBigUint64(0, BigInt(value), true));

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
