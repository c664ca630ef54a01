import { z } from 'zod';
import { loraSettings } from '../lora/settings.ts';
import { settingsSchema as wordSettings } from '../textual-inversion/settings.ts';

/** What a recipe can say of pivotal tuning: what it can say of a new word and of a LoRA, and when each is trained. */
export const pivotalSettings = z.strictObject({
  ...wordSettings.shape,
  ...loraSettings.shape,
  inversionSteps: z
    .int()
    .min(0)
    .meta({
      flag: '--inversion-steps <n>',
      description: 'steps that train the word alone, before the LoRA begins; 500 by default',
    })
    .optional(),
  embeddingSteps: z
    .int()
    .min(1)
    .meta({
      flag: '--embedding-steps <n>',
      description: 'steps after which the word stays as it is; by default it is trained to the end',
    })
    .optional(),
  embeddingLr: z
    .union([z.number().positive(), z.string().min(1)])
    .meta({
      flag: '--embedding-lr <rate>',
      description: 'learning rate of the word; 5e-4 by default',
    })
    .optional(),
});

/** The same, from code. */
export type PivotalOptions = Partial<Omit<z.infer<typeof pivotalSettings>, 'token'>> &
  Pick<z.infer<typeof pivotalSettings>, 'token'>;
