import { z } from 'zod';
import { denoiseSettings } from '../objectives/settings.ts';

/** What a recipe can say of a Textual Inversion. */
export const settingsSchema = z.strictObject({
  token: z.string().min(1).meta({
    flag: '--token <word>',
    description: 'the new word, as prompts will spell it: "<boy>"',
  }),
  init: z
    .string()
    .min(1)
    .meta({
      flag: '--init <start>',
      description: 'what it starts from: a word, text:"some words", zeros, random or random:STD',
    })
    .optional(),
  vectors: z
    .int()
    .min(1)
    .max(75)
    .meta({ flag: '--vectors <n>', description: 'vectors that the word has; 1 by default' })
    .optional(),
  ...denoiseSettings.shape,
});
