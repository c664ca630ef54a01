/** @file Pictures in other places, sizes, colours and with lines around their colours: what makes an autoencoder know more than its pictures. All are functions of a number. */
import { draws } from '@sdft/tensor';
import { SIDE } from './pack.ts';

type Rgb = Uint8Array;

/** Largest shift of the base's pictures, in pixels. */
const NEAR = 2;
/** Variants of a picture that the base learns: the picture, its mirror image, and both shifted. */
export const BASE_VARIANTS = 6;

/** A variant of a picture that the base learns: 0 the picture itself, 1 mirrored, the others shifted, every other one mirrored. */
export function baseVariant(picture: Rgb, name: string, variant: number): Rgb {
  const [x, y] = draws(1).integers(name, variant, [2], 2 * NEAR + 1).data;
  const mirrored = variant % 2 === 1 ? mirror(picture) : picture;
  return variant < 2 ? mirrored : placed(mirrored, 1, x! - NEAR, y! - NEAR);
}

/** Variants of a picture that the autoencoder learns. */
export const AUTOENCODER_VARIANTS = 12;

/** A variant of a picture that the autoencoder learns: shifted or made smaller, and of each four one as it is, one recoloured, one outlined, and one both. */
export function autoencoderVariant(picture: Rgb, name: string, variant: number): Rgb {
  const [mirrored, size, x, y, order, light] = draws(2).uniform(name, variant, [6]).data;
  const scale = size! < 0.4 ? 1 : 0.5 + 0.5 * size!;
  const room = SIDE * (1 - scale) + 8;
  const left = Math.round((x! - 0.5) * room + (SIDE * (1 - scale)) / 2);
  const top = Math.round((y! - 0.5) * room + (SIDE * (1 - scale)) / 2);
  let made = placed(mirrored! < 0.5 ? mirror(picture) : picture, scale, left, top);
  if (variant % 4 === 1 || variant % 4 === 3) made = recoloured(made, order!, light!);
  return variant % 4 >= 2 ? outlined(made) : made;
}

function mirror(picture: Rgb): Rgb {
  const to = new Uint8Array(picture.length);
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++)
      for (let c = 0; c < 3; c++)
        to[3 * (y * SIDE + x) + c] = picture[3 * (y * SIDE + SIDE - 1 - x) + c]!;
  return to;
}

/** The picture made smaller, its corner at (left, top), on white. Pixels are means of what they cover, linear between neighbours. */
function placed(picture: Rgb, scale: number, left: number, top: number): Rgb {
  const to = new Uint8Array(picture.length).fill(255);
  const end = Math.round(SIDE * scale);
  const spread = 1 / scale;
  for (let y = Math.max(0, top); y < Math.min(SIDE, top + end); y++)
    for (let x = Math.max(0, left); x < Math.min(SIDE, left + end); x++)
      for (let c = 0; c < 3; c++) {
        const at = 3 * (y * SIDE + x) + c;
        to[at] =
          scale === 1
            ? picture[3 * ((y - top) * SIDE + x - left) + c]!
            : mean(picture, c, (x - left) * spread, (y - top) * spread, spread);
      }
  return to;
}

/** Mean of a square of `side` pixels (1 to 2). */
function mean(picture: Rgb, channel: number, x: number, y: number, side: number): number {
  let [sum, weights] = [0, 0];
  for (let row = Math.floor(y); row < Math.min(SIDE, y + side); row++)
    for (let column = Math.floor(x); column < Math.min(SIDE, x + side); column++) {
      const weight =
        (Math.min(row + 1, y + side) - Math.max(row, y)) *
        (Math.min(column + 1, x + side) - Math.max(column, x));
      sum += weight * picture[3 * (row * SIDE + column) + channel]!;
      weights += weight;
    }
  return Math.round(sum / weights);
}

const orders = [
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;

/** Channels exchanged, and all made darker; white stays white. */
function recoloured(picture: Rgb, order: number, light: number): Rgb {
  const channels = orders[Math.floor(order * orders.length)]!;
  const to = new Uint8Array(picture.length);
  for (let at = 0; at < picture.length; at += 3) {
    const isWhite = Math.min(picture[at]!, picture[at + 1]!, picture[at + 2]!) > 250;
    const factor = isWhite ? 1 : 0.6 + 0.4 * light;
    for (let c = 0; c < 3; c++) to[at + c] = Math.round(factor * picture[at + channels[c]!]!);
  }
  return to;
}

/** Difference between neighbours, of 255, from which a line begins and at which it is black. */
const [FAINT, BLACK] = [24, 96];

/** Dark lines of two pixels where neighbours differ. */
function outlined(picture: Rgb): Rgb {
  const to = Uint8Array.from(picture);
  for (let y = 1; y < SIDE; y++)
    for (let x = 1; x < SIDE; x++) {
      let most = 0;
      const at = 3 * (y * SIDE + x);
      for (let c = 0; c < 3; c++)
        for (const other of [at - 3, at - 3 * SIDE, at - 3 * SIDE - 3])
          most = Math.max(most, Math.abs(picture[at + c]! - picture[other + c]!));
      const kept = 1 - Math.min(1, Math.max(0, (most - FAINT) / (BLACK - FAINT)));
      for (let c = 0; c < 3; c++) to[at + c] = Math.round(kept * picture[at + c]!);
    }
  return to;
}
