import { internal } from '@sdft/tensor';

/**
 * Classifier-free guidance: uncond + scale (cond − uncond). 1 is the conditional prediction alone.
 * Source: Ho and Salimans 2022, arXiv:2207.12598, equation 6 with scale = 1 + w.
 * @param cond prediction for the prompt, float32, any shape
 * @param uncond prediction for the negative or empty prompt, as long
 */
export function guide(cond: Float32Array, uncond: Float32Array, scale: number): Float32Array {
  if (cond.length !== uncond.length) {
    throw internal(`guidance over ${cond.length} and ${uncond.length} values`);
  }
  return uncond.map((value, i) => value + scale * (cond[i]! - value));
}
