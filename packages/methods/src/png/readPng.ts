/** @file As much of PNG (W3C, third edition) as embeddings in pictures need: exact pixels, and texts. */
import { Unzlib } from 'fflate';
import { UserError } from '@sdft/tensor';

export interface Png {
  readonly width: number;
  readonly height: number;
  /** Texts by keyword (tEXt, zTXt and iTXt chunks). */
  readonly texts: ReadonlyMap<string, string>;
  /** Bytes [height, width, 3]; alpha is left out. Throws UserError for kinds of PNG other than 8-bit RGB and RGBA without interlacing. */
  pixels(): Uint8Array;
}

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** Pixels of a picture that is looked into. */
const MOST_PIXELS = 2 ** 26;
/** Bytes that a compressed text may become. */
const LONGEST_TEXT = 2 ** 26;

/** Throws UserError, naming the file, where it is no whole PNG. */
export function readPng(bytes: Uint8Array, where: string): Png {
  const broken = (why: string): UserError => new UserError(`${where}: not a whole PNG: ${why}`);
  if (!signature.every((byte, i) => bytes[i] === byte)) throw broken('it does not begin as one');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const texts = new Map<string, string>();
  const data: Uint8Array[] = [];
  let header: DataView | undefined;
  for (let at = 8, ended = false; !ended; ) {
    if (at + 12 > bytes.length) throw broken('it ends before its end');
    const length = view.getUint32(at);
    const kind = latin1(bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (body.length < length) throw broken(`its chunk ${kind} is cut short`);
    if (kind === 'IHDR' && length === 13)
      header = new DataView(body.buffer, body.byteOffset, length);
    else if (kind === 'IDAT') data.push(body);
    else if (kind === 'IEND') ended = true;
    else addText(texts, kind, body, broken);
    at += 12 + length;
  }
  if (!header) throw broken('it has no header');
  const [width, height] = [header.getUint32(0), header.getUint32(4)];
  const [depth, colour, interlaced] = [header.getUint8(8), header.getUint8(9), header.getUint8(12)];
  return {
    width,
    height,
    texts,
    pixels: () => {
      if (depth !== 8 || (colour !== 2 && colour !== 6) || interlaced !== 0)
        throw new UserError(
          `${where}: is no PNG of 8-bit RGB without interlacing, so it holds no embedding`,
        );
      if (width * height > MOST_PIXELS)
        throw new UserError(
          `${where}: is ${width} x ${height}; at most ${MOST_PIXELS} pixels are read`,
        );
      const channels = colour === 2 ? 3 : 4;
      const size = height * (1 + width * channels);
      const raw = inflate(data, size, () => broken('its pixels do not unpack'));
      if (raw.length < size) throw broken('its pixels are cut short');
      return unfiltered(raw, width, height, channels, broken);
    },
  };
}

/** Unpacks zlib data, ignoring what follows it. Throws `fail`'s error where it is broken or becomes longer than `most` bytes. */
export function inflate(
  parts: readonly Uint8Array[],
  most: number,
  fail: () => UserError,
): Uint8Array {
  const out: Uint8Array[] = [];
  let length = 0;
  const stream = new Unzlib((chunk) => {
    length += chunk.length;
    if (length > most) throw fail();
    out.push(chunk);
  });
  try {
    for (const part of parts) stream.push(part);
    stream.push(new Uint8Array(0), true);
  } catch (error) {
    // What comes after the end of the data makes the library complain once everything is out.
    if (error instanceof UserError || length === 0) throw fail();
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of out) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

function addText(
  texts: Map<string, string>,
  kind: string,
  body: Uint8Array,
  broken: (why: string) => UserError,
): void {
  if (kind !== 'tEXt' && kind !== 'zTXt' && kind !== 'iTXt') return;
  const end = body.indexOf(0);
  if (end < 1 || end > 79) throw broken(`a ${kind} chunk has no keyword`);
  const keyword = latin1(body.subarray(0, end));
  const unpack = (packed: Uint8Array) =>
    inflate([packed], LONGEST_TEXT, () => broken(`its text ${keyword} does not unpack`));
  const decode = (bytes: Uint8Array, encoding: string) => new TextDecoder(encoding).decode(bytes);
  if (kind === 'tEXt') texts.set(keyword, decode(body.subarray(end + 1), 'latin1'));
  else if (kind === 'zTXt') texts.set(keyword, decode(unpack(body.subarray(end + 2)), 'latin1'));
  else {
    const language = body.indexOf(0, end + 3);
    const translated = body.indexOf(0, language + 1);
    if (language < 0 || translated < 0) throw broken(`its text ${keyword} is cut short`);
    const text = body.subarray(translated + 1);
    texts.set(keyword, decode(body[end + 1] === 1 ? unpack(text) : text, 'utf-8'));
  }
}

/** Undoes the filters of section 9 and leaves out alpha. */
function unfiltered(
  raw: Uint8Array,
  width: number,
  height: number,
  channels: number,
  broken: (why: string) => UserError,
): Uint8Array {
  const row = width * channels;
  const lines = new Uint8Array(height * row);
  const rgb = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)]!;
    if (filter > 4) throw broken(`row ${y} has the filter ${filter}`);
    for (let x = 0; x < row; x++) {
      const at = y * row + x;
      const left = x < channels ? 0 : lines[at - channels]!;
      const up = y === 0 ? 0 : lines[at - row]!;
      const corner = x < channels || y === 0 ? 0 : lines[at - row - channels]!;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
      lines[at] = raw[y * (row + 1) + 1 + x]! + guess;
    }
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) rgb[3 * (y * width + x) + c] = lines[y * row + x * channels + c]!;
  }
  return rgb;
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
