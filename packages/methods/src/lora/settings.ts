import { z } from 'zod';
import { denoiseSettings } from '../objectives/settings.ts';

const share = z.number().min(0).lt(1);

/** What a recipe can say of LoRA and its relatives. */
export const loraSettings = z.strictObject({
  algorithm: z
    .enum(['lora', 'loha', 'lokr', 'ia3'])
    .meta({
      flag: '--algorithm <name>',
      description: 'how the change of a layer is written: lora by default, or a relative of it',
    })
    .optional(),
  rank: z
    .int()
    .min(1)
    .meta({
      flag: '--rank <n>',
      description: 'size of what is learned at each layer; 4 by default',
    })
    .optional(),
  alpha: z
    .number()
    .positive()
    .meta({
      flag: '--alpha <x>',
      description:
        'what is learned counts alpha / rank; by default the rank itself, in the flavour kohya 1',
    })
    .optional(),
  convRank: z
    .int()
    .min(1)
    .meta({
      flag: '--conv-rank <n>',
      description: 'rank at 3x3 convolutions; in the flavour kohya they are trained only with it',
    })
    .optional(),
  convAlpha: z
    .number()
    .positive()
    .meta({ flag: '--conv-alpha <x>', description: 'alpha at 3x3 convolutions' })
    .optional(),
  targets: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .meta({
      flag: '--targets <layers>',
      description:
        'layers that are changed: attention, linear, all, a preset of LyCORIS, or globs with spaces between them',
    })
    .optional(),
  trainTextEncoder: z
    .boolean()
    .meta({ flag: '--train-text-encoder', description: 'change the text encoder, too' })
    .optional(),
  textEncoderLr: z
    .union([z.number().positive(), z.string().min(1)])
    .meta({
      flag: '--text-encoder-lr <rate>',
      description: "learning rate of the text encoder; by default the U-Net's",
    })
    .optional(),
  dora: z
    .boolean()
    .meta({
      flag: '--dora',
      description: "learn the length of each weight's rows apart from their direction",
    })
    .optional(),
  rsLora: z
    .boolean()
    .meta({ flag: '--rs-lora', description: 'alpha is divided by the root of the rank' })
    .optional(),
  tucker: z
    .boolean()
    .meta({ flag: '--tucker', description: 'decompose the kernels of convolutions, too' })
    .optional(),
  factor: z
    .union([z.literal(-1), z.int().min(1)])
    .meta({
      flag: '--factor <n>',
      description: 'lokr: divisor that widths are split by; as even as they divide by default',
    })
    .optional(),
  decomposeBoth: z
    .boolean()
    .meta({ description: 'lokr: both factors of the product are of low rank' })
    .optional(),
  loraPlus: z
    .number()
    .positive()
    .meta({
      flag: '--lora-plus <x>',
      description:
        'lora: how many times the rate of the factors that start at zero is larger; 16 is usual',
    })
    .optional(),
  dropout: share
    .meta({ flag: '--dropout <share>', description: 'lora: elements that are left out at random' })
    .optional(),
  rankDropout: share
    .meta({ flag: '--rank-dropout <share>', description: 'ranks that are left out at random' })
    .optional(),
  moduleDropout: share
    .meta({ flag: '--module-dropout <share>', description: 'layers that are left as they are' })
    .optional(),
  flavour: z
    .enum(['diffusers', 'kohya'])
    .meta({ flag: '--flavour <name>', description: 'whose defaults, rules and files apply' })
    .optional(),
  ...denoiseSettings.shape,
});

/** The same, from code. */
export type LoraOptions = {
  readonly [K in keyof z.infer<typeof loraSettings>]: z.infer<typeof loraSettings>[K] | undefined;
};
