import type { Models, Objective } from '@sdft/pipeline';
import type { Tensor } from '@sdft/tensor';
import { UserError } from '@sdft/tensor';
import { dream, dreamProblem } from './dream.ts';
import { elementLoss, type ElementLossOptions, elementLossProblem } from './elementLoss.ts';
import { withMasks } from './masks.ts';
import { lossWeights, type LossWeightOptions, lossWeightProblem } from './lossWeights.ts';
import { perturbed, trainingNoise, type NoiseOptions, noiseProblem } from './trainingNoise.ts';

export interface DenoiseOptions extends NoiseOptions, ElementLossOptions, LossWeightOptions {
  /**
   * The model's own guess is worked into what it is asked for, by one more pass without gradient (DREAM, Zhou et al. 2024, arXiv:2312.00210); bases that predict
   * noise only. Default false.
   */
  readonly dreamTraining?: boolean | undefined;
  /** DREAM's p: the larger it is, the more detail is kept, and the less of the guess used. Default 1. */
  readonly dreamDetailPreservation?: number | undefined;
}

/**
 * The loss of diffusion models: the squared difference between what the U-Net is asked for (noise or v, as the base says) and what it says at a random timestep
 * (Ho et al. 2020, equation 14). Gives the loss of each sample, [B]. Draws: `noise` and `timesteps`, and those of the options. Inpainting bases learn under random
 * masks (`withMasks`), wherever those lie.
 *
 * @throws UserError for settings out of range; when it is traced, for DREAM with a base that predicts v
 */
export function denoise(options: DenoiseOptions = {}): Objective {
  const problem =
    noiseProblem(options) ??
    elementLossProblem(options) ??
    lossWeightProblem(options) ??
    dreamProblem(options);
  if (problem !== undefined) throw new UserError(`denoise: ${problem}`);
  const objective: Objective = (given, batch, draw) => {
    const models = given.kind === 'inpainting' ? withMasks(given, batch, draw) : given;
    const { schedule } = models;
    const { latents, context, weight, size } = batch;
    const t = draw.integers('timesteps', [size], schedule.config.numTrainTimesteps);
    const noise = trainingNoise(latents, draw, options);
    const noisy = schedule.addNoise(latents, perturbed(noise, draw, options), t);
    const target = schedule.target(latents, noise, t);
    const asked = asksFor(options, models, { noisy, target, noise, t, context });
    const predicted = models.unet(asked.noisy, t, context);
    const error = elementLoss(predicted.sub(asked.target), schedule, t, options);
    const losses = (weight ? error.mul(weight) : error).mean([1, 2, 3]);
    return lossWeights(schedule, t, batch, options).reduce(
      (loss, factor) => loss.mul(factor),
      losses,
    );
  };
  return Object.assign(objective, { recipe: { name: 'denoise', ...given(options) } });
}

interface Asked {
  readonly noisy: Tensor;
  readonly target: Tensor;
}

/** What goes into the U-Net, and what is to come out. */
const asksFor = (
  { dreamTraining = false, dreamDetailPreservation = 1 }: DenoiseOptions,
  models: Models,
  sample: Asked & { readonly noise: Tensor; readonly t: Tensor; readonly context: Tensor },
): Asked => (dreamTraining ? dream(models, sample, dreamDetailPreservation) : sample);

const optionNames = [
  ...['snrGamma', 'snrWeightForV', 'debiasedEstimation'],
  ...['noiseOffset', 'multiresNoiseIterations', 'multiresNoiseDiscount', 'inputPerturbation'],
  ...['lossType', 'huberSchedule', 'huberC', 'huberScale'],
  ...['dreamTraining', 'dreamDetailPreservation'],
] as const satisfies readonly (keyof DenoiseOptions)[];

/** The settings of this objective that were given: options of a method come with others. */
const given = (options: DenoiseOptions): Partial<DenoiseOptions> =>
  Object.fromEntries(
    optionNames.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );
