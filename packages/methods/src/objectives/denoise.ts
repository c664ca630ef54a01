import type { Objective, Schedule } from '@sdft/pipeline';
import { concat, type Tensor, UserError } from '@sdft/tensor';

export interface DenoiseOptions {
  /**
   * Bounds the weight of timesteps with little noise (min-SNR, Hang et al. 2023, section 3.4; 5 is usual). Class images keep the weight 1, as in diffusers.
   * Default: none.
   */
  readonly snrGamma?: number | undefined;
  /**
   * The min-SNR weight where the base predicts v, on which tools disagree: `snr+1` is min(SNR, gamma) / (SNR + 1) (diffusers `train_dreambooth.py`, kohya, OneTrainer),
   * `snr` is min(SNR, gamma) / SNR (EveryDream2), `plus-1` is min(SNR, gamma) / SNR + 1 (diffusers' advanced scripts). Default `snr+1`.
   */
  readonly snrWeightForV?: 'snr+1' | 'snr' | 'plus-1' | undefined;
  /** Adds this times one normal number per picture and channel to the noise, so that light and dark pictures are learned (draw `offset_noise`). Default 0. */
  readonly noiseOffset?: number | undefined;
}

/**
 * The loss of diffusion models: the squared difference between what the U-Net is asked for (noise or v, as the base says) and what it says at a random timestep
 * (Ho et al. 2020, equation 14). Gives the loss of each sample, [B]. Draws: `noise` and `timesteps`, and `offset_noise` where there is an offset.
 *
 * @throws UserError for settings out of range
 */
export function denoise(options: DenoiseOptions = {}): Objective {
  const { snrGamma, snrWeightForV = 'snr+1', noiseOffset = 0 } = options;
  if (snrGamma !== undefined && !(snrGamma > 0))
    throw new UserError(`denoise: snrGamma must be positive, got ${snrGamma}; 5 is usual`);
  if (!Number.isFinite(noiseOffset))
    throw new UserError(`denoise: noiseOffset must be a number, got ${noiseOffset}`);
  const objective: Objective = ({ unet, schedule }, batch, draw) => {
    const { latents, context, weight, size, instances } = batch;
    const t = draw.integers('timesteps', [size], schedule.config.numTrainTimesteps);
    const plain = draw.normal('noise', latents.shape);
    const noise =
      noiseOffset === 0
        ? plain
        : plain.add(draw.normal('offset_noise', [size, latents.shape[1]!, 1, 1]).mul(noiseOffset));
    const predicted = unet(schedule.addNoise(latents, noise, t), t, context);
    const error = predicted.sub(schedule.target(latents, noise, t)).square();
    const losses = (weight ? error.mul(weight) : error).mean([1, 2, 3]);
    if (snrGamma === undefined) return losses;
    const bounded = snrWeight(schedule, t, snrGamma, snrWeightForV);
    return losses.mul(instances === size ? bounded : onInstances(bounded, instances));
  };
  return Object.assign(objective, {
    recipe: {
      name: 'denoise',
      ...(snrGamma !== undefined && { snrGamma }),
      ...(options.snrWeightForV !== undefined && { snrWeightForV }),
      ...(noiseOffset !== 0 && { noiseOffset }),
    },
  });
}

/** [B] */
function snrWeight(schedule: Schedule, t: Tensor, gamma: number, forV: string): Tensor {
  const snr = schedule.snr(t);
  const least = snr.minimum(gamma);
  if (schedule.config.predictionType === 'v_prediction' && forV === 'snr+1')
    return least.div(snr.add(1));
  // With zero terminal SNR the last timestep has none: 0 / 0 is meant to be 1.
  const ratio = snr.greater(0).where(least.div(snr.maximum(1e-30)), 1);
  return schedule.config.predictionType === 'v_prediction' && forV === 'plus-1'
    ? ratio.add(1)
    : ratio;
}

/** The weights of the first samples, 1 for the others. */
function onInstances(weights: Tensor, instances: number): Tensor {
  const others = weights.slice(0, instances).mul(0).add(1);
  return concat([weights.slice(0, 0, instances), others]);
}
