/** @file Pictures as they lie inside of the page: as good as there is room for. */
import { readFile } from 'node:fs/promises';
import { UserError } from '@sdft/tensor';
import sharp, { type Sharp } from 'sharp';
import type { Embedded } from '../page/report.ts';

/** Bytes of the whole page, and what is left of them for pictures. */
export const MOST_BYTES = 5e6;
const FOR_TEXT = 600e3;

interface Manner {
  /** Longest side in pixels; no picture is enlarged. */
  readonly side: number;
  /** Percent. */
  readonly quality: number | 'lossless';
}

/** From the best; lossless is for small pictures alone. */
const ladder: readonly Manner[] = [
  { side: 128, quality: 'lossless' },
  { side: 1024, quality: 90 },
  { side: 768, quality: 85 },
  { side: 512, quality: 85 },
  { side: 448, quality: 80 },
  { side: 384, quality: 78 },
  { side: 320, quality: 75 },
  { side: 256, quality: 72 },
  { side: 192, quality: 65 },
  { side: 128, quality: 55 },
  { side: 96, quality: 45 },
];

/** Pictures that a page can hold at the lowest rung. */
export const MOST_PICTURES = 1500;

/** A picture as it is embedded: WebP. */
async function webp(
  picture: Sharp,
  { side, quality }: Manner,
  fit: 'inside' | 'cover' = 'inside',
): Promise<Embedded> {
  const { data, info } = await picture
    .resize(side, side, { fit, withoutEnlargement: true })
    .webp(quality === 'lossless' ? { lossless: true } : { quality, effort: 5 })
    .toBuffer({ resolveWithObject: true });
  return {
    url: `data:image/webp;base64,${data.toString('base64')}`,
    width: info.width,
    height: info.height,
  };
}

/**
 * Picture files, all in the same manner, the best one in which the page stays below 5 MB.
 *
 * @param taken bytes of the page that others need
 * @throws UserError where there are too many
 */
export async function embedAll(paths: readonly string[], taken: number): Promise<Embedded[]> {
  if (paths.length === 0) return [];
  const files = await Promise.all(paths.map((path) => readFile(path)));
  const { width, height } = await sharp(files[0]).metadata();
  const largest = Math.max(width, height);
  const room = MOST_BYTES - FOR_TEXT - taken;
  for (const manner of ladder) {
    if (manner.quality === 'lossless' && largest > manner.side) continue;
    const embedded: Embedded[] = [];
    let bytes = 0;
    for (const file of files) {
      const one = await webp(sharp(file), manner);
      embedded.push(one);
      bytes += one.url.length;
      if (bytes > room) break;
    }
    if (bytes <= room) return embedded;
  }
  throw new UserError(
    `${paths.length} pictures do not fit into a page of 5 MB; take fewer prompts, fewer runs or a smaller -n`,
  );
}

/** A small copy of a picture file, cut to a square; a broken one is undefined. */
export async function thumbnail(path: string, side: number): Promise<Embedded | undefined> {
  try {
    const file = await readFile(path);
    const { width, height } = (await sharp(file).metadata()).autoOrient;
    const small = Math.max(width, height) <= side;
    const picture = sharp(file)
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb');
    return await webp(
      picture,
      { side, quality: small ? 'lossless' : 80 },
      small ? 'inside' : 'cover',
    );
  } catch {
    return undefined;
  }
}
