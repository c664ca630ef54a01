import type { Draws } from '@sdft/pipeline';
import type { Tensor } from '@sdft/tensor';
import { pyramidNoise } from './pyramidNoise.ts';

export interface NoiseOptions {
  /** Adds this times one normal number per picture and channel to the noise, so that light and dark pictures are learned (draw `offset_noise`). Default 0. */
  readonly noiseOffset?: number | undefined;
  /**
   * Adds coarser noise at this many sizes (multi-resolution or pyramid noise; kohya's `multires_noise_iterations`; 6 to 10 are usual). Draws `multires_noise.I`
   * and `multires_scale`. Default 0.
   */
  readonly multiresNoiseIterations?: number | undefined;
  /** How much of the noise of each size counts, against that of the next finer one. Default 0.3. */
  readonly multiresNoiseDiscount?: number | undefined;
  /**
   * Adds this times other noise to what the U-Net sees, and not to what it is asked for (Ning et al. 2023, arXiv:2301.11706; kohya's `ip_noise_gamma`; 0.1 is
   * usual). Draw `perturbation`. Default 0.
   */
  readonly inputPerturbation?: number | undefined;
}

/** What is wrong with the options, if anything. */
export function noiseProblem(options: NoiseOptions): string | undefined {
  const { noiseOffset = 0, inputPerturbation = 0 } = options;
  const { multiresNoiseIterations: iterations = 0, multiresNoiseDiscount: discount = 0.3 } =
    options;
  if (!Number.isFinite(noiseOffset)) return `noiseOffset must be a number, got ${noiseOffset}`;
  if (!Number.isFinite(inputPerturbation))
    return `inputPerturbation must be a number, got ${inputPerturbation}; 0.1 is usual`;
  if (!Number.isInteger(iterations) || iterations < 0 || iterations > 20)
    return `multiresNoiseIterations must be a whole number from 0 to 20, got ${iterations}; 6 is usual`;
  if (!(discount > 0 && discount <= 1))
    return `multiresNoiseDiscount must lie between 0 and 1, got ${discount}; 0.3 is usual`;
  return undefined;
}

/** The noise that the U-Net is asked about, of the latents' shape: draw `noise`, changed as the options say, in kohya's order. */
export function trainingNoise(
  latents: Tensor,
  draw: Draws,
  {
    noiseOffset = 0,
    multiresNoiseIterations: iterations = 0,
    multiresNoiseDiscount: discount = 0.3,
  }: NoiseOptions,
): Tensor {
  const [size, channels] = latents.shape as readonly [number, number];
  const plain = draw.normal('noise', latents.shape);
  const shifted =
    noiseOffset === 0
      ? plain
      : plain.add(draw.normal('offset_noise', [size, channels, 1, 1]).mul(noiseOffset));
  return iterations === 0 ? shifted : pyramidNoise(shifted, draw, { iterations, discount });
}

/** The noise that is added to the latents. */
export const perturbed = (
  noise: Tensor,
  draw: Draws,
  { inputPerturbation = 0 }: NoiseOptions,
): Tensor =>
  inputPerturbation === 0
    ? noise
    : noise.add(draw.normal('perturbation', noise.shape).mul(inputPerturbation));
