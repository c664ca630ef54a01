import { concat, silu, type Tensor } from '@sdft/tensor';
import { linear } from '../layers/linear.ts';
import type { Scope } from '../scope.ts';

/**
 * 1 / 10000^(i / (half - freqShift)) for i < half, rounded to f32 after each step as PyTorch rounds it: at t = 999 one unit in the last place
 * of a frequency moves its angle by 6e-5.
 */
export function timeFrequencies(half: number, freqShift: number): number[] {
  const f32 = Math.fround;
  const decay = f32(-Math.log(10000));
  return Array.from({ length: half }, (_, i) =>
    f32(Math.exp(f32(f32(decay * i) / f32(half - freqShift)))),
  );
}

/** timestep [B] -> [B, width] of sines and cosines (Ho et al. 2020; diffusers `embeddings.py`, `get_timestep_embedding`). */
export function sinusoidal(
  scope: Scope,
  timestep: Tensor,
  width: number,
  { flipSinToCos, freqShift }: { flipSinToCos: boolean; freqShift: number },
): Tensor {
  const half = Math.floor(width / 2);
  const frequencies = scope.tracer.constant(timeFrequencies(half, freqShift), [1, half]);
  const angles = timestep.cast('f32').reshape([-1, 1]).mul(frequencies);
  const [sines, cosines] = [angles.sin(), angles.cos()];
  const waves = concat(flipSinToCos ? [cosines, sines] : [sines, cosines], 1);
  return width % 2 === 0 ? waves : waves.pad([[0, 1]]);
}

/** timestep [B] -> [B, 4 width] (diffusers `embeddings.py`, `TimestepEmbedding`). */
export function timeEmbedding(
  scope: Scope,
  timestep: Tensor,
  width: number,
  options: { flipSinToCos: boolean; freqShift: number },
): Tensor {
  const waves = scope.inside(() => sinusoidal(scope, timestep, width, options));
  return linear(
    scope.at('linear_2'),
    silu(linear(scope.at('linear_1'), waves, 4 * width)),
    4 * width,
  );
}
