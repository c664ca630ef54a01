import sharp from 'sharp';
import { UserError } from '../errors.ts';
import type { Picture } from '../pixels.ts';
import { toRgb } from '../pixels.ts';
import { writeWhole } from './whole-file.ts';

/** Bytes of a PNG file, 8-bit RGB. @throws UserError when the picture has none of a picture's shapes (`Picture`). */
export async function encodePng(picture: Picture): Promise<Uint8Array> {
  const { data, width, height } = toRgb(picture);
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

/**
 * Writes a PNG file, whole or not at all: a picture, or the bytes of a PNG file (as `contactSheet` gives them).
 * @throws UserError when the file exists and `force` is not set, bytes are no PNG, or the machine refuses (full disk, no permission).
 */
export async function writePng(
  path: string,
  picture: Picture | Uint8Array,
  options: { readonly force?: boolean | undefined } = {},
): Promise<void> {
  const bytes = picture instanceof Uint8Array ? requirePng(picture) : await encodePng(picture);
  await writeWhole(path, bytes, options.force);
}

function requirePng(bytes: Uint8Array): Uint8Array {
  if (Buffer.from(bytes.subarray(0, 4)).toString('latin1') === '\x89PNG') return bytes;
  throw new UserError(`writePng was given ${bytes.length} bytes that are no PNG file`);
}
