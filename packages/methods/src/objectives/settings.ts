import { z } from 'zod';
import { huberSchedules, lossTypes } from './elementLoss.ts';
import { snrWeightsForV } from './lossWeights.ts';
import { pixelLosses } from './reconstruct.ts';

/** What a recipe can say of the objective `denoise`. */
export const denoiseSettings = z.strictObject({
  snrGamma: z
    .number()
    .positive()
    .meta({
      flag: '--snr-gamma <x>',
      description: 'bound on the weight of timesteps with little noise (min-SNR); 5 is usual',
    })
    .optional(),
  snrWeightForV: z
    .enum(snrWeightsForV)
    .meta({ description: 'the min-SNR weight of bases that predict v, on which tools disagree' })
    .optional(),
  debiasedEstimation: z
    .boolean()
    .meta({
      flag: '--debiased-estimation',
      description: "weigh timesteps as kohya's debiased estimation loss",
    })
    .optional(),
  noiseOffset: z
    .number()
    .meta({
      flag: '--noise-offset <x>',
      description: 'adds a shift of the whole picture to the noise; 0.1 is strong',
    })
    .optional(),
  multiresNoiseIterations: z
    .int()
    .min(0)
    .max(20)
    .meta({
      flag: '--multires-noise-iterations <n>',
      description: 'adds coarser noise at so many sizes (pyramid noise); 6 to 10 are usual',
    })
    .optional(),
  multiresNoiseDiscount: z
    .number()
    .positive()
    .max(1)
    .meta({
      flag: '--multires-noise-discount <x>',
      description: 'how much each size counts, against the next finer one; 0.3 by default',
    })
    .optional(),
  inputPerturbation: z
    .number()
    .meta({
      flag: '--input-perturbation <x>',
      description: 'adds other noise to what the U-Net sees only; 0.1 is usual',
    })
    .optional(),
  lossType: z
    .enum(lossTypes)
    .meta({
      flag: '--loss-type <name>',
      description: 'what becomes of each difference; huber and smooth-l1 forgive outliers',
    })
    .optional(),
  huberSchedule: z
    .enum(huberSchedules)
    .meta({
      flag: '--huber-schedule <name>',
      description: 'how the threshold of huber and smooth-l1 falls with the timestep',
    })
    .optional(),
  huberC: z
    .number()
    .positive()
    .max(1)
    .meta({
      flag: '--huber-c <x>',
      description: 'that threshold at the last timestep; 0.1 by default',
    })
    .optional(),
  huberScale: z
    .number()
    .positive()
    .meta({ description: 'multiplies the thresholds of the schedules exponential and constant' })
    .optional(),
  dreamTraining: z
    .boolean()
    .meta({
      flag: '--dream-training',
      description: "work the model's own guess into the target (DREAM); a second pass per step",
    })
    .optional(),
  dreamDetailPreservation: z
    .number()
    .min(0)
    .meta({ description: "DREAM's p: larger keeps more detail; 1 by default" })
    .optional(),
});

const share = z.number().positive().lt(1);

/** What a recipe can say of the noise in small pictures. */
export const augmentationSettings = z.strictObject({
  augmentation: share
    .meta({
      flag: '--augmentation <x>',
      description: 'noise in the small pictures at the first step, as a share; 1e-3 by default',
    })
    .optional(),
  augmentationEnd: share
    .meta({
      flag: '--augmentation-end <x>',
      description: 'the same at the last step, reached by equal factors; 1e-5 by default',
    })
    .optional(),
});

/** What a recipe can say of the objective `super-resolve`. */
export const superResolveSettings = augmentationSettings.extend(denoiseSettings.shape);

/** What a recipe can say of the objective `reconstruct`. */
export const reconstructSettings = z.strictObject({
  pixelLoss: z
    .enum(pixelLosses)
    .meta({
      flag: '--pixel-loss <name>',
      description:
        'what becomes of each difference between pixels: its size (l1), or its square (l2); psnr is the logarithm of squares',
    })
    .optional(),
  gradientWeight: z
    .number()
    .min(0)
    .meta({
      flag: '--gradient-weight <x>',
      description: 'how much differences between neighbouring pixels count; 0.5 by default',
    })
    .optional(),
  klWeight: z
    .number()
    .min(0)
    .meta({
      flag: '--kl-weight <x>',
      description:
        "how much the latents' distance from a standard Gaussian counts; 1e-3 by default",
    })
    .optional(),
});
