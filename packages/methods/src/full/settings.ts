import { z } from 'zod';
import { denoiseSettings } from '../objectives/settings.ts';

const rate = z.union([z.number().min(0), z.string().min(1)]);

/** What a recipe can say of full fine-tuning. */
export const settingsSchema = z.strictObject({
  at: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .meta({
      flag: '--targets <glob>',
      description: 'layers that are trained: "unet.**" by default; a recipe can name several',
    })
    .optional(),
  trainTextEncoder: z
    .boolean()
    .meta({ flag: '--train-text-encoder', description: 'train the text encoder, too' })
    .optional(),
  textEncoderLr: rate
    .meta({
      flag: '--text-encoder-lr <rate>',
      description: "learning rate of the text encoder; by default the U-Net's",
    })
    .optional(),
  lrs: z
    .record(z.string(), rate)
    .meta({
      description:
        'learning rates by globs over layers; the last one that matches counts, 0 freezes',
    })
    .optional(),
  dtype: z
    .enum(['f32', 'f16', 'bf16'])
    .meta({
      flag: '--dtype <type>',
      description:
        'what every weight of the saved checkpoint is stored as; by default f32 for what was trained, the rest as it is in the base',
    })
    .optional(),
  ...denoiseSettings.shape,
});
