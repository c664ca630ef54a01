import ndarray from 'ndarray';
import type { NdArray } from 'ndarray';
import { UserError } from './errors.ts';

/** Pixels as the models take them: f32, -1..1, channels first; [3,H,W] for one picture, [B,3,H,W] for several. */
export type Pixels = NdArray<Float32Array>;

/**
 * A picture to be shown or written: sRGB bytes [H,W,3] as image files hold them, or model pixels f32 [3,H,W] or [1,3,H,W] in
 * -1..1 (values outside are clamped).
 */
export type Picture = NdArray<Uint8Array> | NdArray<Uint8ClampedArray> | Pixels;

/** sRGB bytes, row by row, three a pixel. */
export interface Rgb {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** x / 127.5 - 1 in double precision, rounded to f32 once: what NumPy gives diffusers' and A1111's data sets. */
const SCALE = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);

/**
 * Pixels f32 [3,H,W] in -1..1 of sRGB bytes, mirrored left to right when `flip`.
 * Source: x / 127.5 - 1, diffusers' `textual_inversion.py` and A1111's `dataset.py`.
 */
export function toPixels(picture: Rgb, flip = false): Pixels {
  const { width, height } = picture;
  const pixels = ndarray(new Float32Array(3 * height * width), [3, height, width]);
  writePixels(pixels.data, 0, picture, flip);
  return pixels;
}

/** One batch, f32 [B,3,H,W], of pictures of the same size. */
export function stackPixels(pictures: readonly Rgb[], flips: readonly boolean[]): Pixels {
  const [first] = pictures;
  const [width, height] = [first?.width ?? 0, first?.height ?? 0];
  const plane = 3 * height * width;
  const data = new Float32Array(pictures.length * plane);
  pictures.forEach((picture, index) =>
    writePixels(data, index * plane, picture, flips[index] ?? false),
  );
  return ndarray(data, [pictures.length, 3, height, width]);
}

function writePixels(into: Float32Array, offset: number, picture: Rgb, flip: boolean): void {
  const { data, width, height } = picture;
  const plane = width * height;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 3 * (y * width + (flip ? width - 1 - x : x));
      const to = offset + y * width + x;
      into[to] = SCALE[data[from]!]!;
      into[to + plane] = SCALE[data[from + 1]!]!;
      into[to + 2 * plane] = SCALE[data[from + 2]!]!;
    }
  }
}

/**
 * sRGB bytes of a picture; the inverse of `toPixels` for model pixels: round((x / 2 + 0.5) * 255), clamped (diffusers'
 * `VaeImageProcessor.denormalize` and `numpy_to_pil`).
 * @throws UserError when the shape is none of a picture's, or a value is no number.
 */
export function toRgb(picture: Picture): Rgb {
  return isFloat(picture) ? fromPixels(picture) : fromBytes(picture);
}

function isFloat(picture: Picture): picture is Pixels {
  return picture.dtype === 'float32';
}

function fromPixels(picture: Pixels): Rgb {
  const single =
    picture.dimension === 4 && picture.shape[0] === 1 ? picture.pick(0, null, null, null) : picture;
  const [channels, height = 0, width = 0] = single.shape;
  if (single.dimension !== 3 || channels !== 3 || width === 0 || height === 0) {
    throw new UserError(
      `a picture of f32 must have shape [3,H,W] or [1,3,H,W], not [${picture.shape.join(',')}]`,
    );
  }
  const data = new Uint8Array(3 * width * height);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const value = single.get(channel, y, x);
        if (Number.isNaN(value)) {
          throw new UserError(`a picture holds NaN at channel ${channel}, row ${y}, column ${x}`);
        }
        data[to++] = Math.round(Math.min(1, Math.max(0, value / 2 + 0.5)) * 255);
      }
    }
  }
  return { data, width, height };
}

function fromBytes(picture: NdArray<Uint8Array> | NdArray<Uint8ClampedArray>): Rgb {
  const [height = 0, width = 0, channels] = picture.shape;
  if (picture.dimension !== 3 || channels !== 3 || width === 0 || height === 0) {
    throw new UserError(
      `a picture of bytes must have shape [H,W,3], not [${picture.shape.join(',')}]`,
    );
  }
  const data = new Uint8Array(3 * width * height);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) data[to++] = picture.get(y, x, channel);
    }
  }
  return { data, width, height };
}
