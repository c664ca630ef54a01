import type { NoiseSchedule } from '../schedule/noiseSchedule.ts';

// float16's smallest number: with zero terminal SNR the last sigma would be infinite otherwise. Source: diffusers.
const smallestAlpha = 2 ** -24;

/** σ_t = √((1 − ᾱ_t) / ᾱ_t) of every timestep, rising, as the float32 values that diffusers has. */
export function trainedSigmas({ alphasCumprod }: NoiseSchedule): Float64Array {
  return alphasCumprod.map((alpha) => {
    const kept = alpha === 0 ? smallestAlpha : alpha;
    return Math.fround(Math.sqrt(Math.fround(Math.fround(1 - kept) / kept)));
  });
}

/** σ at a fractional timestep, linear between neighbours; before the first and after the last it stays. */
export function sigmaAt(sigmas: Float64Array, t: number): number {
  if (t >= sigmas.length - 1) return sigmas[sigmas.length - 1]!;
  if (t <= 0) return sigmas[0]!;
  const low = Math.floor(t);
  return sigmas[low]! + (sigmas[low + 1]! - sigmas[low]!) * (t - low);
}

/** `steps` noise levels from `max` down to `min`, dense near `min`: Karras et al. 2022, arXiv:2206.00364, equation 5, ρ = 7. */
export function karrasSigmas(max: number, min: number, steps: number): number[] {
  const rho = 7;
  const [from, to] = [max ** (1 / rho), min ** (1 / rho)];
  return Array.from({ length: steps }, (_, i) => {
    const ramp = steps > 1 ? i / (steps - 1) : 0;
    return (from + ramp * (to - from)) ** rho;
  });
}

/** The fractional timestep of a noise level: linear in log σ between neighbours, in the float32 logarithms that diffusers has. */
export function timestepOf(sigmas: Float64Array, sigma: number): number {
  const logSigma = Math.log(Math.max(sigma, 1e-10));
  const log = (t: number) => Math.fround(Math.log(sigmas[t]!));
  let low = 0;
  while (low < sigmas.length - 2 && log(low + 1) <= logSigma) low += 1;
  const w = (log(low) - logSigma) / Math.fround(log(low) - log(low + 1));
  const clipped = Math.min(Math.max(w, 0), 1);
  return (1 - clipped) * low + clipped * (low + 1);
}
