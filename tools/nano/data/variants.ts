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
export const AUTOENCODER_VARIANTS = 8;

/** A variant of a picture that the autoencoder learns, shifted: of each four one as it is, one recoloured, one outlined, and one both, the last three often smaller. */
export function autoencoderVariant(picture: Rgb, name: string, variant: number): Rgb {
  const [mirrored, size, x, y, order, light] = draws(2).uniform(name, variant, [6]).data;
  const scale = variant % 4 === 0 || size! < 0.4 ? 1 : 0.5 + 0.5 * size!;
  const room = SIDE * (1 - scale) + 8;
  const left = Math.round((x! - 0.5) * room + (SIDE * (1 - scale)) / 2);
  const top = Math.round((y! - 0.5) * room + (SIDE * (1 - scale)) / 2);
  let made = placed(mirrored! < 0.5 ? mirror(picture) : picture, scale, left, top);
  if (variant % 4 === 1 || variant % 4 === 3) made = recoloured(made, order!, light!);
  return variant % 4 >= 2 ? outlined(made) : made;
}

/** Variants of a picture that the decoder learns by itself. */
export const DECODER_VARIANTS = 8;
/** Those of the autoencoder's: four as they are but for their places, two recoloured, one outlined, one both. */
const decoders = [0, 1, 4, 2, 8, 5, 12, 3];

/** A variant of a picture that the decoder learns by itself. */
export const decoderVariant = (picture: Rgb, name: string, variant: number): Rgb =>
  autoencoderVariant(
    picture,
    name,
    decoders[variant % DECODER_VARIANTS]! + 16 * Math.floor(variant / DECODER_VARIANTS),
  );

function mirror(picture: Rgb): Rgb {
  const to = new Uint8Array(picture.length);
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++)
      for (let c = 0; c < 3; c++)
        to[3 * (y * SIDE + x) + c] = picture[3 * (y * SIDE + SIDE - 1 - x) + c]!;
  return to;
}

/** The picture made smaller, its corner at (left, top), on white. */
function placed(picture: Rgb, scale: number, left: number, top: number): Rgb {
  const to = new Uint8Array(picture.length).fill(255);
  const end = scale === 1 ? SIDE : Math.round(SIDE * scale);
  const small = scale === 1 ? picture : reduced(picture, scale, end);
  const first = Math.max(0, -left);
  const last = Math.min(end, SIDE - left);
  if (last <= first) return to;
  for (let y = Math.max(0, -top); y < Math.min(end, SIDE - top); y++)
    to.set(
      small.subarray(3 * (y * SIDE + first), 3 * (y * SIDE + last)),
      3 * ((y + top) * SIDE + left + first),
    );
  return to;
}

/** The picture on `end` x `end` pixels of its upper left corner: each the mean of what it covers, along rows, then along columns. */
function reduced(picture: Rgb, scale: number, end: number): Uint8Array {
  const spans = Array.from({ length: end }, (_, i) => {
    const [from, to] = [i / scale, Math.min(SIDE, (i + 1) / scale)];
    const start = Math.floor(from);
    const shares = Array.from({ length: Math.ceil(to) - start }, (__, j) =>
      Math.max(0, (Math.min(start + j + 1, to) - Math.max(start + j, from)) / (to - from)),
    );
    return { start, shares };
  });
  const rows = new Float32Array(picture.length);
  for (let y = 0; y < SIDE; y++)
    spans.forEach(({ start, shares }, x) => {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let j = 0; j < shares.length; j++)
          sum += shares[j]! * picture[3 * (y * SIDE + start + j) + c]!;
        rows[3 * (y * SIDE + x) + c] = sum;
      }
    });
  const small = new Uint8Array(picture.length);
  spans.forEach(({ start, shares }, y) => {
    for (let at = 0; at < 3 * end; at++) {
      let sum = 0;
      for (let j = 0; j < shares.length; j++)
        sum += shares[j]! * rows[3 * (start + j) * SIDE + at]!;
      small[3 * y * SIDE + at] = Math.round(sum);
    }
  });
  return small;
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
export function outlined(picture: Rgb): Rgb {
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
