import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import type { FailOnOptions, Metadata, Sharp } from 'sharp';
import { internal, reason, UserError } from '../errors.ts';
import type { Rgb } from '../pixels.ts';
import type { Cover, Size } from '../resolution.ts';
import { coverOf } from '../resolution.ts';
import type { Interpolation } from '../spec.ts';

/** Bytes of a file; above it something other than a photograph is going on. */
const LARGEST_FILE = 512 * 2 ** 20;
/** Pixels of a picture, 16384 x 16384: more does not fit into memory as plain bytes on the machines this is for. */
const MOST_PIXELS = 2 ** 28;
/** Longest side over shortest: beyond it a centre crop keeps less than a twentieth. */
const MOST_SLENDER = 20;

/** libvips' names of the kernels PIL has too: triangle, Catmull-Rom (a = -0.5), Lanczos with three lobes. */
const kernels = { bilinear: 'linear', bicubic: 'cubic', lanczos: 'lanczos3' } as const;
/** libvips enlarges with no Lanczos kernel; its own resize takes Catmull-Rom there too. */
const enlargers = { bilinear: 'bilinear', bicubic: 'bicubic', lanczos: 'bicubic' } as const;

/** The size every decoded picture gets, and how it gets there. */
export interface Fit extends Size {
  readonly interpolation: Interpolation;
}

/** A decoded picture, and what a person should know of it, said of its file ("may be damaged ..."). */
export interface Decoded extends Rgb {
  readonly remark?: string;
}

/**
 * Size in pixels of a picture file, its EXIF orientation applied. Reads the header only.
 * @throws UserError naming the file when it is missing, empty, no jpeg, png or webp inside, or of an absurd size.
 */
export async function readSize(path: string): Promise<Size> {
  return (await headerOf(await readPicture(path), path)).autoOrient;
}

/**
 * Decodes a picture file to sRGB bytes of one size: EXIF orientation first, then transparency onto white, greyscale, 16-bit, CMYK
 * and embedded colour profiles to 8-bit sRGB, the shortest side scaled to the size, the rest cropped evenly. Of an animation the first
 * frame counts. A picture that is 8-bit RGB and has the size already keeps its bytes, whatever its colour profile says: so
 * the references take every picture, and whoever prepared it saw to its colours.
 *
 * Scaled down, pictures come close to PIL's `resize` of the same name but not equal (`test/decode.test.ts` has the figures):
 * libvips rounds its coefficients otherwise and averages whole pixels first where it shrinks four times or more.
 * @throws UserError naming the file when it is missing, truncated or broken.
 */
export async function decodePicture(path: string, fit: Fit): Promise<Decoded> {
  const file = await readPicture(path);
  const header = await headerOf(file, path);
  const picture = header.autoOrient;
  const cover = coverOf(picture, fit);
  const ready = isRgb(header) && same(picture, fit);
  const decodedWith = (failOn: FailOnOptions): Promise<Rgb> =>
    toFit(uprightRgb(file, { failOn, ignoreIcc: ready }), picture, cover, fit);
  let rgb: Decoded;
  try {
    rgb = await decodedWith('warning').catch(async (warning: unknown) => {
      // Whole pictures of some cameras make libvips complain; only those that it cannot finish are refused.
      const remark = `may be damaged (${reason(warning)}): look whether it is whole`;
      return { ...(await decodedWith('error')), remark };
    });
  } catch (error) {
    throw new UserError(
      `${path} is broken or cut short (${reason(error)}): take it out of the folder, or put a whole copy in its place`,
    );
  }
  if (rgb.data.length !== 3 * fit.width * fit.height) {
    throw internal(`${path} became ${rgb.data.length} bytes, not 3 x ${fit.width} x ${fit.height}`);
  }
  if (rgb.remark !== undefined || !ready || !hasOtherProfile(header)) return rgb;
  const remark =
    'has the size already: its pixels are taken as they are, and its colour profile is left aside';
  return { ...rgb, remark };
}

/** A picture in another size: the shortest side scaled, the rest cropped evenly. */
export const resizePicture = (picture: Rgb, fit: Fit): Promise<Rgb> =>
  toFit(rawSharp(picture), picture, coverOf(picture, fit), fit);

function isRgb({ channels, depth, space }: Metadata): boolean {
  return channels === 3 && depth === 'uchar' && space === 'srgb';
}

/** Whether there is a colour profile that does not call itself sRGB. */
function hasOtherProfile({ icc }: Metadata): boolean {
  return icc !== undefined && !icc.includes('sRGB') && !icc.includes('sRGB', 0, 'utf16le');
}

function same(a: Size, b: Size): boolean {
  return a.width === b.width && a.height === b.height;
}

async function toFit(upright: Sharp, picture: Size, cover: Cover, fit: Fit): Promise<Rgb> {
  const larger = cover.scaled.width > picture.width || cover.scaled.height > picture.height;
  return larger
    ? enlarge(await rgbOf(upright), cover, fit)
    : rgbOf(shrink(upright, picture, cover, fit));
}

async function readPicture(path: string): Promise<Buffer> {
  let file: Buffer;
  try {
    file = await readFile(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${reason(error)}`);
  }
  if (file.length === 0)
    throw new UserError(`${path} is empty (0 bytes): take it out of the folder`);
  if (file.length > LARGEST_FILE) {
    throw new UserError(`${path} is ${file.length} bytes; a picture may have ${LARGEST_FILE}`);
  }
  if (!isPicture(file)) {
    const start = file
      .subarray(0, 12)
      .toString('latin1')
      .replace(/[^\x20-\x7e]/g, '.');
    throw new UserError(
      `${path} holds no jpeg, png or webp, whatever its name says (it starts with '${start}'): convert it or take it out of the folder`,
    );
  }
  return file;
}

/** The three formats by their first bytes, so that no other of libvips' many readers ever sees the file. */
function isPicture(file: Buffer): boolean {
  const starts = file.toString('latin1', 0, 12);
  return (
    starts.startsWith('\xff\xd8\xff') ||
    starts.startsWith('\x89PNG\r\n\x1a\n') ||
    (starts.startsWith('RIFF') && starts.endsWith('WEBP'))
  );
}

async function headerOf(file: Buffer, path: string): Promise<Metadata> {
  let header: Metadata;
  try {
    header = await sharp(file, { limitInputPixels: false }).metadata();
  } catch (error) {
    throw new UserError(
      `${path} is broken or cut short (${reason(error)}): take it out of the folder`,
    );
  }
  const { width, height } = header.autoOrient;
  if (width * height > MOST_PIXELS) {
    throw new UserError(
      `${path} says that it is ${width} x ${height} pixels; a picture may have ${MOST_PIXELS}: make it smaller`,
    );
  }
  if (Math.max(width, height) > MOST_SLENDER * Math.min(width, height)) {
    throw new UserError(
      `${path} is ${width} x ${height} pixels: a centre crop would keep next to nothing of it; crop it by hand`,
    );
  }
  return header;
}

function uprightRgb(
  file: Buffer,
  options: { readonly failOn: FailOnOptions; readonly ignoreIcc: boolean },
): Sharp {
  return sharp(file, { ...options, autoOrient: true, limitInputPixels: MOST_PIXELS })
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb');
}

function shrink(upright: Sharp, picture: Size, cover: Cover, fit: Fit): Sharp {
  const { scaled, left, top } = cover;
  // Shrinking while a jpeg is decoded is faster, but blurs by whole factors and moves the picture.
  const kernel = {
    kernel: kernels[fit.interpolation],
    fit: 'fill',
    fastShrinkOnLoad: false,
  } as const;
  const resized = same(scaled, picture)
    ? upright
    : upright.resize(scaled.width, scaled.height, kernel);
  return same(scaled, fit)
    ? resized
    : resized.extract({ left, top, width: fit.width, height: fit.height });
}

/**
 * libvips' resize moves what it enlarges by half an output pixel against PIL and torchvision; its affine transform says where each
 * pixel is taken from: output x from (x + 0.5) / scale - 0.5. A margin of repeated edge pixels stands in for what lies outside.
 */
async function enlarge(picture: Rgb, cover: Cover, fit: Fit): Promise<Rgb> {
  const margin = 4;
  const across = cover.scaled.width / picture.width;
  const down = cover.scaled.height / picture.height;
  const [left, top] = [Math.round(margin * across), Math.round(margin * down)];
  const wide = await rgbOf(
    rawSharp(picture).extend({
      top: margin,
      bottom: margin,
      left: margin,
      right: margin,
      extendWith: 'copy',
    }),
  );
  const large = await rgbOf(
    rawSharp(wide).affine([across, 0, 0, down], {
      interpolator: enlargers[fit.interpolation],
      idx: (left - 0.5) / across - margin + 0.5,
      idy: (top - 0.5) / down - margin + 0.5,
    }),
  );
  const { width, height } = fit;
  return rgbOf(
    rawSharp(large).extract({ left: left + cover.left, top: top + cover.top, width, height }),
  );
}

function rawSharp({ data, width, height }: Rgb): Sharp {
  return sharp(data, { raw: { width, height, channels: 3 } });
}

async function rgbOf(pipeline: Sharp): Promise<Rgb> {
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}
