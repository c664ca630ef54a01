import type { Batch, Draws, Models } from '@sdft/pipeline';
import { concat, literal, type Tensor } from '@sdft/tensor';

/** Random masks of pictures of one size: at a pixel 1 where it is drawn anew, else 0. */
type Masks = (rows: readonly number[], columns: readonly number[]) => Tensor;

/**
 * An inpainting base whose U-Net is given noisy latents: a random mask comes in beside them, and the latents of what it leaves of the picture, a sample of their posterior.
 * Draws: `mask` [B,5], uniform, and `masked_noise` [B,C,h,w]. Source: diffusers `train_dreambooth_inpaint.py`.
 */
export function withMasks(models: Models, batch: Batch, draw: Draws): Models {
  const pixels = batch.pixels();
  const [size, , height, width] = pixels.shape as [number, number, number, number];
  const [, , rows, columns] = batch.latents.shape as [number, number, number, number];
  const masks = randomMasks(draw.uniform('mask', [size, 5]), height, width);
  const left = masks(every(height, height), every(width, width)).neg().add(1);
  const { mean, logvar } = models.encode(pixels.mul(left));
  const sample = logvar.mul(0.5).exp().mul(draw.normal('masked_noise', mean.shape)).add(mean);
  const beside = [masks(every(rows, height), every(columns, width)), models.scaled(sample)];
  return {
    ...models,
    unet: (noisy, t, context) => models.unet(concat([noisy, ...beside], 1), t, context),
  };
}

/** The first of each group of pixels, in `count` groups: what torch's nearest reduction takes. */
const every = (count: number, side: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.floor((i * side) / count));

/**
 * A rectangle or an ellipse, either as likely, of any width and height and anywhere. diffusers draws the same with Pillow, whose ellipses differ from these at their edges.
 *
 * @param drawn [B,5], uniform in [0, 1): width, height, place across and down, kind
 */
function randomMasks(drawn: Tensor, height: number, width: number): Masks {
  const [across, down, x, y, kind] = drawn.chunk(5, 1).map((each) => each.reshape([-1, 1, 1, 1]));
  const columns = spanOf(across!, x!, width);
  const rows = spanOf(down!, y!, height);
  return (ys, xs) => {
    const dx = columns(literal(drawn.builder, xs, [1, 1, 1, xs.length]));
    const dy = rows(literal(drawn.builder, ys, [1, 1, ys.length, 1]));
    const rectangle = dx.abs().maximum(dy.abs()).greater(1).where(0, 1);
    const ellipse = dx.square().add(dy.square()).greater(1).where(0, 1);
    return kind!.less(0.5).where(rectangle, ellipse);
  };
}

/** How far from its middle a place along an axis is, for each mask, as a share of half its length: 1 at its ends. */
function spanOf(length: Tensor, place: Tensor, side: number): (at: Tensor) => Tensor {
  // None is negative.
  const floor = (x: Tensor): Tensor => x.cast('i32').cast('f32');
  const upTo = (share: Tensor, most: Tensor | number): Tensor =>
    floor(share.mul(typeof most === 'number' ? most + 1 : most.add(1))).minimum(most);
  const half = floor(upTo(length, side).div(2));
  const middle = half.add(upTo(place, half.mul(2).neg().add(side)));
  return (at) => at.sub(middle).div(half.add(0.5));
}
