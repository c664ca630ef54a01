import type { Size } from './resolution.ts';

/** Sides of buckets are multiples of this, as kohya's `--bucket_reso_steps`; below 256 pixels of what the autoencoder needs. */
export const bucketStep = (size: Size): number =>
  Math.min(size.width, size.height) < 256 ? 8 : 64;

/**
 * Sizes of about the same area and other shapes, from twice as wide to twice as high: for each width the greatest height that keeps the area, both multiples of `step`.
 * Narrowest first. Source: the rule of kohya's `library/model_util.py`, `make_bucket_resolutions`, with sides from half the resolution to twice.
 */
export function bucketSizes(size: Size, step = bucketStep(size)): Size[] {
  const area = size.width * size.height;
  const side = Math.sqrt(area);
  const [least, most] = [side / 2, side * 2];
  const square = Math.floor(side / step) * step;
  const sizes = new Map<string, Size>([[`${square}x${square}`, { width: square, height: square }]]);
  for (let width = Math.ceil(least / step) * step; width <= most; width += step) {
    const height = Math.min(most, Math.floor(area / width / step) * step);
    if (height < least) continue;
    for (const bucket of [
      { width, height },
      { width: height, height: width },
    ])
      sizes.set(`${bucket.width}x${bucket.height}`, bucket);
  }
  return [...sizes.values()].sort((a, b) => a.width / a.height - b.width / b.height);
}

/** The bucket whose shape is nearest to the picture's, by the ratio of the ratios; of equal ones the first. */
export function nearestBucket(picture: Size, buckets: readonly Size[]): Size {
  const shape = Math.log(picture.width / picture.height);
  const distance = ({ width, height }: Size): number => Math.abs(Math.log(width / height) - shape);
  return buckets.reduce((best, bucket) => (distance(bucket) < distance(best) ? bucket : best));
}
