import type { Objective } from '@sdft/pipeline';
import type { Tensor } from '@sdft/tensor';
import { UserError } from '@sdft/tensor';

export const pixelLosses = ['l1', 'l2', 'psnr'] as const;

/** Added to mean squares before their logarithm, so that a perfect picture has one; about 104 dB. */
const TINY = 1.6e-10;

export interface ReconstructOptions {
  /** What becomes of each difference between pixels in -1..1: `l1`, its size, which keeps edges sharp, or `l2`, its square. `psnr`: the square, and of each picture's loss the logarithm, so that the mean peak signal-to-noise ratio is what is learned. Default `l1`. */
  readonly pixelLoss?: (typeof pixelLosses)[number] | undefined;
  /**
   * How much the differences between neighbouring pixels count, in the same measure, against the pixels themselves: lines and edges are learned sooner (Mathieu et al. 2016,
   * arXiv:1511.05440, equation 6). Default 0.5.
   */
  readonly gradientWeight?: number | undefined;
  /** How much the latents' distance from a standard Gaussian counts (Kullback-Leibler divergence, the mean of latent numbers, in nats). Default 1e-3. */
  readonly klWeight?: number | undefined;
}

/**
 * What an autoencoder is asked for: pixels, encoded to a Gaussian, a sample of which is decoded again, shall be themselves (Kingma and Welling 2014, arXiv:1312.6114; Rombach et al.
 * 2022, section 3.1, without the adversary). Gives the loss of each sample, [B]: all terms are means. Draw: `posterior_noise`.
 *
 * @throws UserError for settings out of range; when it is traced, where the pictures are smaller than two pixels
 */
export function reconstruct(options: ReconstructOptions = {}): Objective {
  const { pixelLoss = 'l1', gradientWeight = 0.5, klWeight = 1e-3 } = options;
  if (!pixelLosses.includes(pixelLoss))
    throw new UserError(
      `reconstruct: there is no pixelLoss ${pixelLoss}; there are ${pixelLosses.join(', ')}`,
    );
  for (const [name, weight] of Object.entries({ gradientWeight, klWeight }))
    if (!(weight >= 0 && Number.isFinite(weight)))
      throw new UserError(`reconstruct: ${name} must be a number, 0 or more, got ${weight}`);
  const measure = (difference: Tensor): Tensor =>
    pixelLoss === 'l1' ? difference.abs() : difference.square();
  const objective: Objective = ({ encode, decode }, batch, draw) => {
    const pixels = batch.pixels();
    const { mean, logvar } = encode(pixels);
    const noise = draw.normal('posterior_noise', mean.shape);
    const difference = decode(mean.add(logvar.mul(0.5).exp().mul(noise))).sub(pixels);
    let loss = measure(difference).mean([1, 2, 3]);
    if (gradientWeight > 0) {
      const slopes = [2, 3].map((axis) => measure(slope(difference, axis)).mean([1, 2, 3]));
      loss = loss.add(slopes[0]!.add(slopes[1]!).mul(gradientWeight));
    }
    if (pixelLoss === 'psnr') loss = loss.add(TINY).log();
    if (klWeight === 0) return loss;
    const divergence = mean.square().add(logvar.exp()).sub(logvar).sub(1).mul(0.5);
    return loss.add(divergence.mean([1, 2, 3]).mul(klWeight));
  };
  const given = { pixelLoss, gradientWeight, klWeight };
  return Object.assign(objective, { recipe: { name: 'reconstruct', ...given } });
}

/** Each element less the one before it along an axis. */
function slope(x: Tensor, axis: number): Tensor {
  const length = x.shape[axis]!;
  if (length < 2)
    throw new UserError(
      `reconstruct: pictures of ${x.shape[2]} x ${x.shape[3]} pixels have no neighbours to compare; use larger ones, or gradientWeight: 0`,
    );
  return x.slice(axis, 1).sub(x.slice(axis, 0, length - 1));
}
