import { UserError } from './errors.ts';

/** `512`: a square of that many pixels; `512x768`: width x height. */
export type Resolution = number | `${number}x${number}`;

/** Pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

const LARGEST = 4096;

/** Width and height of a resolution. @throws UserError when it is none. */
export function sizeOf(resolution: Resolution): Size {
  const size = parse(resolution);
  if (size === undefined) {
    throw new UserError(
      `the resolution ${resolutionProblem(resolution)}, not ${JSON.stringify(resolution)}`,
    );
  }
  return size;
}

/** What is wrong with a resolution, or undefined. */
export function resolutionProblem(value: unknown): string | undefined {
  if (parse(value) !== undefined) return undefined;
  return `must be a whole number of pixels from 8 to ${LARGEST} (a square), or WIDTHxHEIGHT such as 512x768`;
}

function parse(value: unknown): Size | undefined {
  const sides = typeof value === 'number' ? [value, value] : pair(value);
  const [width, height] = sides;
  if (width === undefined || height === undefined || !sides.every(isSide)) return undefined;
  return { width, height };
}

function pair(value: unknown): number[] {
  const match = typeof value === 'string' ? /^(\d+)(?:x(\d+))?$/.exec(value.trim()) : null;
  return match === null ? [] : [Number(match[1]), Number(match[2] ?? match[1])];
}

function isSide(side: number): boolean {
  return Number.isInteger(side) && side >= 8 && side <= LARGEST;
}

/** A picture scaled to `scaled`, of which the rectangle of the wanted size at (`left`, `top`) is kept. */
export interface Cover {
  readonly scaled: Size;
  readonly left: number;
  readonly top: number;
}

/**
 * Scales the shortest side to the wanted size and crops the other evenly, to the pixel as torchvision does: `Resize(n)`
 * rounds the long side down (`_compute_resized_output_size`), `CenterCrop` rounds a half offset to the even number.
 * diffusers' `textual_inversion.py` crops first and resizes then, which differs by part of a pixel in pictures that are not square.
 */
export function coverOf(picture: Size, wanted: Size): Cover {
  const wider = picture.width * wanted.height >= wanted.width * picture.height;
  const scaled = wider
    ? { width: Math.floor((wanted.height * picture.width) / picture.height), height: wanted.height }
    : { width: wanted.width, height: Math.floor((wanted.width * picture.height) / picture.width) };
  return {
    scaled,
    left: halfToEven(scaled.width - wanted.width),
    top: halfToEven(scaled.height - wanted.height),
  };
}

function halfToEven(surplus: number): number {
  const below = Math.floor(surplus / 2);
  return surplus % 2 === 0 || below % 2 === 0 ? below : below + 1;
}
