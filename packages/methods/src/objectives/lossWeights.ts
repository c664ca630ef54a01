import type { Batch, Schedule } from '@sdft/pipeline';
import { concat, type Tensor } from '@sdft/tensor';

export const snrWeightsForV = ['snr+1', 'snr', 'plus-1'] as const;

export interface LossWeightOptions {
  /**
   * Bounds the weight of timesteps with little noise (min-SNR, Hang et al. 2023, section 3.4; 5 is usual). Class images keep the weight 1, as in diffusers.
   * Default: none.
   */
  readonly snrGamma?: number | undefined;
  /**
   * The min-SNR weight where the base predicts v, on which tools disagree: `snr+1` is min(SNR, gamma) / (SNR + 1) (diffusers `train_dreambooth.py`, kohya, OneTrainer),
   * `snr` is min(SNR, gamma) / SNR (EveryDream2), `plus-1` is min(SNR, gamma) / SNR + 1 (diffusers' advanced scripts). Default `snr+1`.
   */
  readonly snrWeightForV?: (typeof snrWeightsForV)[number] | undefined;
  /**
   * Weighs timesteps as kohya's debiased estimation loss does (Yu et al. 2024, arXiv:2310.08442): 1 / sqrt(min(SNR, 1000)), and 1 / (min(SNR, 1000) + 1) where the
   * base predicts v. A timestep without any signal, whose noise is what the U-Net sees, counts nothing for the former. Default false.
   */
  readonly debiasedEstimation?: boolean | undefined;
}

/** What is wrong with the options, if anything. */
export function lossWeightProblem({
  snrGamma,
  snrWeightForV = 'snr+1',
}: LossWeightOptions): string | undefined {
  if (snrGamma !== undefined && !(snrGamma > 0))
    return `snrGamma must be positive, got ${snrGamma}; 5 is usual`;
  if (!snrWeightsForV.includes(snrWeightForV))
    return `there is no snrWeightForV ${snrWeightForV}; there are ${snrWeightsForV.join(', ')}`;
  return undefined;
}

/** Factors [B] of the losses of samples at the timesteps t. */
export function lossWeights(
  schedule: Schedule,
  t: Tensor,
  { instances, size }: Pick<Batch, 'instances' | 'size'>,
  { snrGamma, snrWeightForV = 'snr+1', debiasedEstimation = false }: LossWeightOptions,
): Tensor[] {
  const factors: Tensor[] = [];
  if (snrGamma !== undefined) {
    const bounded = minSnr(schedule, t, snrGamma, snrWeightForV);
    factors.push(instances === size ? bounded : onInstances(bounded, instances));
  }
  if (debiasedEstimation) factors.push(debiased(schedule, t));
  return factors;
}

const predictsV = ({ config }: Schedule): boolean => config.predictionType === 'v_prediction';

function minSnr(schedule: Schedule, t: Tensor, gamma: number, forV: string): Tensor {
  const snr = schedule.snr(t);
  const least = snr.minimum(gamma);
  if (predictsV(schedule) && forV === 'snr+1') return least.div(snr.add(1));
  // With zero terminal SNR the last timestep has none: 0 / 0 is meant to be 1.
  const ratio = snr.greater(0).where(least.div(snr.maximum(1e-30)), 1);
  return predictsV(schedule) && forV === 'plus-1' ? ratio.add(1) : ratio;
}

/** Source: kohya-ss/sd-scripts `library/custom_train_functions.py`, `apply_debiased_estimation`. */
function debiased(schedule: Schedule, t: Tensor): Tensor {
  const snr = schedule.snr(t).minimum(1000);
  return predictsV(schedule)
    ? snr.add(1).reciprocal()
    : snr.greater(0).where(snr.maximum(1e-30).rsqrt(), 0);
}

/** The weights of the first samples, 1 for the others. */
function onInstances(weights: Tensor, instances: number): Tensor {
  const others = weights.slice(0, instances).mul(0).add(1);
  return concat([weights.slice(0, 0, instances), others]);
}
