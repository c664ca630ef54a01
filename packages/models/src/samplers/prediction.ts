import { UserError } from '@sdft/tensor';
import type { NoiseSchedule } from '../schedule/noiseSchedule.ts';

/** ᾱ at a timestep; before timestep 0 it is 1 or ᾱ_0, as the checkpoint's `setAlphaToOne` says. */
export function alphaAt({ alphasCumprod, config }: NoiseSchedule, timestep: number): number {
  if (timestep >= 0) return alphasCumprod[timestep]!;
  return config.setAlphaToOne ? 1 : alphasCumprod[0]!;
}

/**
 * One deterministic step from ᾱ to another, along a prediction that belongs to `latents`.
 * x_0 and ε follow from the U-Net's output; x' = √ᾱ' x_0 + √(1−ᾱ') ε. Source: Song et al. 2021, arXiv:2010.02502, equation 12 with
 * σ = 0; the transfer part of PNDM (Liu et al. 2022, arXiv:2202.09778, section 3.3) is the same.
 */
export function transfer(
  { config }: NoiseSchedule,
  latents: Float32Array,
  output: Float32Array,
  alpha: number,
  alphaNext: number,
): Float32Array {
  const [signal, noise] = [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
  const [signalNext, noiseNext] = [Math.sqrt(alphaNext), Math.sqrt(1 - alphaNext)];
  if (config.predictionType === 'v_prediction') {
    return latents.map((x, i) => {
      const v = output[i]!;
      return signalNext * (signal * x - noise * v) + noiseNext * (signal * v + noise * x);
    });
  }
  if (alpha === 0) {
    throw new UserError(
      'sampling: this noise schedule ends in pure noise (rescale_betas_zero_snr), from which an epsilon prediction says nothing about the picture. Such checkpoints predict v: set the prediction type to v.',
    );
  }
  return latents.map((x, i) => {
    const epsilon = output[i]!;
    return (signalNext * (x - noise * epsilon)) / signal + noiseNext * epsilon;
  });
}
