/** @file What weights of a prompt do to the text encoder's states. Source: A1111 `modules/sd_emphasis.py`. */
import type { Tensor } from '@sdft/tensor';

/**
 * A1111's setting "Emphasis mode": states times weights, then scaled back to their mean over the whole batch (`original`), or not (`no-norm`); brackets read and then not
 * minded (`ignore`); brackets that are text (`none`).
 */
export const emphases = ['original', 'no-norm', 'ignore', 'none'] as const;
export type Emphasis = (typeof emphases)[number];

/** The emphases that change states. */
export type ScalingEmphasis = Extract<Emphasis, 'original' | 'no-norm'>;

/** What an emphasis does to states; undefined: nothing. */
export const scalingOf = (emphasis: Emphasis): ScalingEmphasis | undefined =>
  emphasis === 'original' || emphasis === 'no-norm' ? emphasis : undefined;

/** states [B, chunks, L, C] by multipliers [B, chunks, L]. The mean is that of a chunk over all B prompts, as A1111 encodes them together. */
export function emphasised(states: Tensor, multipliers: Tensor, how: ScalingEmphasis): Tensor {
  const scaled = states.mul(multipliers.unsqueeze(-1));
  if (how === 'no-norm') return scaled;
  const mean = (x: Tensor): Tensor => x.mean([0, 2, 3], { keepDims: true });
  return scaled.mul(mean(states).div(mean(scaled)));
}

/** A prompt's states [chunks L, C] as the text encoder gives them, and its multipliers [chunks L]. */
export interface EncodedPrompt {
  readonly states: Float32Array;
  readonly multipliers: readonly number[];
}

/**
 * The same on the host, for prompts of one length that A1111 encodes together.
 *
 * @param window L, ids of a chunk
 */
export function emphasise(
  prompts: readonly EncodedPrompt[],
  window: number,
  how: ScalingEmphasis,
): Float32Array[] {
  const results = prompts.map(({ states, multipliers }) => {
    const width = states.length / multipliers.length;
    // float32, as A1111 has them and as a record keeps them.
    const weights = Float32Array.from(multipliers);
    return states.map((value, i) => value * weights[Math.floor(i / width)]!);
  });
  if (how === 'no-norm') return results;
  const { states, multipliers } = prompts[0]!;
  const chunk = (window * states.length) / multipliers.length;
  for (let from = 0; from < states.length; from += chunk) {
    const sum = (each: Float32Array): number =>
      each.subarray(from, from + chunk).reduce((total, value) => total + value, 0);
    const total = (all: readonly Float32Array[]): number =>
      all.reduce((n, each) => n + sum(each), 0);
    const ratio = total(prompts.map((prompt) => prompt.states)) / total(results);
    // Where nothing is emphasised it is 1, and 0 / 0 where every state is 0.
    if (ratio === 1 || Number.isNaN(ratio)) continue;
    for (const result of results) for (let i = from; i < from + chunk; i++) result[i]! *= ratio;
  }
  return results;
}
