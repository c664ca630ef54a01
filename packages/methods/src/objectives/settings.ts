import { z } from 'zod';

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
    .enum(['snr+1', 'snr', 'plus-1'])
    .meta({ description: 'the min-SNR weight of bases that predict v, on which tools disagree' })
    .optional(),
  noiseOffset: z
    .number()
    .meta({
      flag: '--noise-offset <x>',
      description: 'adds a shift of the whole picture to the noise; 0.1 is strong',
    })
    .optional(),
});
