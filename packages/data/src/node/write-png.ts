import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { UserError } from '../errors.ts';
import type { Picture, Rgb } from '../pixels.ts';
import { toRgb } from '../pixels.ts';
import { writeWhole } from './whole-file.ts';

/** Bytes of a PNG file, 8-bit RGB. @throws UserError when the picture has none of a picture's shapes (`Picture`). */
export const encodePng = async (picture: Picture): Promise<Uint8Array> => pngOf(toRgb(picture));

/** Bytes of a PNG file of sRGB bytes. */
export const pngOf = ({ data, width, height }: Rgb): Promise<Uint8Array> =>
  sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();

/**
 * Writes a PNG file, whole or not at all: a picture, or the bytes of a PNG file (as `contactSheet` gives them).
 * @throws UserError when the file exists and `force` is not set, bytes are no PNG, or the machine refuses (full disk, no permission).
 */
export async function writePng(
  path: string,
  picture: Picture | Uint8Array,
  options: {
    readonly force?: boolean | undefined;
    /** Texts by keyword (1 to 79 Latin-1 characters), kept in the file. */
    readonly texts?: Readonly<Record<string, string>> | undefined;
  } = {},
): Promise<void> {
  const bytes = picture instanceof Uint8Array ? requirePng(picture) : await encodePng(picture);
  await writeWhole(path, withTexts(bytes, options.texts ?? {}), options.force);
}

/** Bytes of signature and header, which come first. */
const HEADER = 8 + 25;

/** The file with texts after its header: tEXt where Latin-1 can say them, else iTXt, as Pillow writes them (PNG, third edition, section 11.3.3). */
function withTexts(png: Uint8Array, texts: Readonly<Record<string, string>>): Uint8Array {
  const chunks = Object.entries(texts).map(([keyword, text]) =>
    /^[\0-\xff]*$/.test(text)
      ? chunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1'))
      : chunk(
          'iTXt',
          Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text, 'utf8')]),
        ),
  );
  return Buffer.concat([png.subarray(0, HEADER), ...chunks, png.subarray(HEADER)]);
}

function chunk(type: string, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + body.length);
  bytes.writeUInt32BE(body.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(body, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + body.length)), 8 + body.length);
  return bytes;
}

function requirePng(bytes: Uint8Array): Uint8Array {
  if (Buffer.from(bytes.subarray(0, 4)).toString('latin1') === '\x89PNG') return bytes;
  throw new UserError(`writePng was given ${bytes.length} bytes that are no PNG file`);
}
