import type { Draws } from '@sdft/pipeline';
import { arange, full, type Tensor } from '@sdft/tensor';

/**
 * Noise [B,C,h,w] with coarser noise on top, scaled back to a standard deviation of 1. Iteration i draws noise of the size floor(side / r^i), r uniform in [2, 4),
 * enlarges it bilinearly and adds it times discount^i; after a size of which one side is 1 nothing more is added. Source: kohya-ss/sd-scripts
 * `library/custom_train_functions.py`, `pyramid_noise_like`.
 *
 * Sizes change from step to step, and shapes of a graph do not: draw `multires_noise.I` has the whole shape [B,C,h,w], of which the first rows and columns are used,
 * and the enlargement is a matrix for each axis. Draw `multires_scale` [iterations] is (r - 2) / 2.
 */
export function pyramidNoise(
  noise: Tensor,
  draw: Draws,
  { iterations, discount }: { readonly iterations: number; readonly discount: number },
): Tensor {
  const [, , height, width] = noise.shape as readonly [number, number, number, number];
  const scales = draw.uniform('multires_scale', [iterations]).mul(2).add(2);
  let sum = noise;
  let counts: Tensor | undefined;
  for (let i = 0; i < iterations; i++) {
    const divisor = scales
      .slice(0, i, i + 1)
      .reshape([])
      .pow(i);
    const rows = sideOf(height, divisor);
    const columns = sideOf(width, divisor);
    const drawn = draw.normal(`multires_noise.${i}`, noise.shape);
    const enlarged = enlargement(height, rows)
      .matmul(drawn)
      .matmul(enlargement(width, columns), { transposeB: true })
      .mul(discount ** i);
    sum = sum.add(counts === undefined ? enlarged : enlarged.mul(counts));
    const goesOn = rows.minimum(columns).greater(1).where(1, 0);
    counts = counts === undefined ? goesOn : counts.mul(goesOn);
  }
  const centred = sum.sub(sum.mean());
  return sum.div(
    centred
      .square()
      .sum()
      .div(sum.size - 1)
      .sqrt(),
  );
}

/** max(1, floor(side / divisor)) */
const sideOf = (side: number, divisor: Tensor): Tensor =>
  full(divisor, [], side).div(divisor).cast('i32').maximum(1).cast('f32');

/** The matrix [side, side] that enlarges the first `count` numbers to `side`, linearly, pixels being areas (torch's `align_corners=False`). */
function enlargement(side: number, count: Tensor): Tensor {
  const places = arange(count, side);
  const at = places.add(0.5).mul(count.div(side)).sub(0.5).maximum(0).minimum(count.sub(1));
  return at.unsqueeze(1).sub(places).abs().neg().add(1).maximum(0);
}
