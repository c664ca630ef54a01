import type { Models } from '@sdft/pipeline';
import { type Tensor, UserError } from '@sdft/tensor';

/** What is wrong with the options, if anything. */
export const dreamProblem = ({
  dreamDetailPreservation = 1,
}: {
  readonly dreamDetailPreservation?: number | undefined;
}): string | undefined =>
  dreamDetailPreservation >= 0 && Number.isFinite(dreamDetailPreservation)
    ? undefined
    : `dreamDetailPreservation must be a number, 0 or more, got ${dreamDetailPreservation}; 1 is usual`;

/**
 * DREAM (Zhou et al. 2024, arXiv:2312.00210, algorithm 1): what the U-Net gets wrong now goes into its input and into what it is asked for, times
 * (1 - alphasCumprod)^(p/2). One more pass, without gradient. Source: diffusers `training_utils.py`, `compute_dream_and_update_latents`.
 *
 * @throws UserError where the base predicts v
 */
export function dream(
  { unet, schedule }: Models,
  sample: Readonly<Record<'noisy' | 'target' | 'noise' | 't' | 'context', Tensor>>,
  p: number,
): { readonly noisy: Tensor; readonly target: Tensor } {
  if (schedule.config.predictionType !== 'epsilon')
    throw new UserError(
      'dreamTraining is for bases that predict noise, and this one predicts v; leave it out',
    );
  const { noisy, target, noise, t, context } = sample;
  // 1 - alphasCumprod = 1 / (1 + SNR)
  const deviation = schedule.snr(t).add(1).rsqrt().reshape([t.size, 1, 1, 1]);
  const missed = noise
    .sub(unet(noisy, t, context))
    .mul(deviation.pow(p))
    .stopGradient();
  return { noisy: noisy.add(deviation.mul(missed)), target: target.add(missed) };
}
