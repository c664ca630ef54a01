/** @file The recipe: a run as plain data, the same in the builder, in a YAML file, behind the flags of the command line, and beside the results. */
import { type SamplerName, samplers } from '@sdft/models';
import { emphases } from '@sdft/models';
import { optimizers, piecewiseProblem, scheduleNames } from '@sdft/optim';
import { z } from 'zod';
import { settingSchemas } from './optimizerSchema.ts';

import { promptSyntaxes } from '../encoding/prompts.ts';

/** What is known of a setting beside its type: its flag on the command line (with what it takes, `--lr <rate>`), and what it means. */
export interface SettingMeta {
  readonly flag?: string;
  readonly description: string;
}

const describe = <T extends z.ZodType>(schema: T, description: string, flag?: string): T =>
  schema.meta({ description, ...(flag !== undefined && { flag }) });

const whole = (least: number) => z.int().min(least);
const positive = z.number().positive();
const share = z.number().min(0).max(1);
const rate = z.union([positive, z.string()]).superRefine((value, context) => {
  const problem = typeof value === 'string' ? piecewiseProblem(value) : undefined;
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});
const path = z.string().min(1);

export const flavours = ['diffusers', 'a1111', 'kohya'] as const;
/** Whose defaults and rules apply. */
export type Flavour = (typeof flavours)[number];

const templates = z.union([z.string(), z.array(z.string()).min(1)]);
const resolution = z.union([whole(8), z.templateLiteral([z.int(), 'x', z.int()])]);
const interpolation = z.enum(['bilinear', 'bicubic', 'lanczos']);

const dataSchema = z.strictObject({
  images: describe(
    path,
    'folder of pictures, with captions in .txt files of the same name where you have them',
    '--images <dir>',
  ),
  template: describe(
    templates,
    'captions: "object", "style", a text with {} for the name and {caption} for the picture\'s own, or a .txt file of such lines',
    '--template <text>',
  ).optional(),
  resolution: describe(
    resolution,
    "pixels of a side, or WIDTHxHEIGHT; the base's own size by default",
    '--resolution <size>',
  ).optional(),
  flip: describe(share, 'how often a picture is mirrored, 0 to 1', '--flip <share>').optional(),
  captionDropout: describe(
    share,
    'how often a picture has the empty caption, 0 to 1, so that guidance keeps working; 0.1 is usual',
    '--caption-dropout <share>',
  ).optional(),
  interpolation: describe(interpolation, 'how pictures are resized').optional(),
  pick: describe(
    z.enum(['fetch', 'image']),
    'when the template of a picture is drawn: at every fetch (diffusers), or once for the whole run (A1111)',
  ).optional(),
  repeats: describe(whole(1), 'how often each picture occurs in an epoch').optional(),
  classImages: describe(
    z.strictObject({
      images: describe(path, 'folder of pictures of the class', '--class-images <dir>'),
      caption: describe(z.string(), 'caption of all of them', '--class-prompt <text>').optional(),
      count: describe(
        whole(1),
        'how many there shall be: missing ones are drawn by the base model',
        '--class-count <n>',
      ).optional(),
      steps: describe(whole(1), 'sampler steps of those', '--class-steps <n>').optional(),
    }),
    'pictures of the kind of thing that is learned, for prior preservation',
  ).optional(),
});

const optimizerSchema = z.strictObject({
  name: describe(z.string(), Object.keys(optimizers).join(', '), '--optimizer <name>').optional(),
  lr: describe(
    rate,
    'learning rate, or rates with the step up to which each holds: "5e-3:100, 1e-3:1000, 1e-5"',
    '--lr <rate>',
  ).optional(),
  ...settingSchemas,
  before: describe(
    z.array(z.strictObject({ name: z.enum(['clipByGlobalNorm', 'clipByValue']), max: rate })),
    'transforms that gradients go through first; clip says the same for one',
  ).optional(),
});

const scheduleSchema = z.strictObject({
  name: describe(
    z.enum(scheduleNames),
    'how the learning rate moves',
    '--schedule <name>',
  ).optional(),
  warmup: describe(
    whole(0),
    'steps over which the rate rises from 0',
    '--warmup <steps>',
  ).optional(),
  cycles: describe(
    positive,
    'cosine: periods, 0.5 by default; cosine-restarts: restarts',
  ).optional(),
  power: describe(positive, 'polynomial: the exponent').optional(),
  end: describe(z.number().min(0), 'polynomial: the last rate').optional(),
});

const emaSchema = z.strictObject({
  decay: describe(share, 'the largest decay').optional(),
  minDecay: describe(share, 'the smallest').optional(),
  updateAfterStep: describe(whole(0), 'steps before averaging begins').optional(),
  useEmaWarmup: describe(z.boolean(), 'decay 1 - (1 + n / invGamma)^-power').optional(),
  invGamma: describe(positive, 'of the warm-up').optional(),
  power: describe(positive, 'of the warm-up; 2/3 by default').optional(),
});

const saveSchema = z.strictObject({
  out: describe(
    path,
    'where the result goes; the extension chooses the layout',
    '--out <file>',
  ).optional(),
  every: describe(
    whole(1),
    'save the state, and the result so far, each so many steps',
    '--save-every <steps>',
  ).optional(),
});

const validationSchema = z.strictObject({
  images: describe(
    path,
    'folder of pictures that nothing is trained on, with captions as in data.images',
    '--validation-images <dir>',
  ),
  every: describe(
    whole(1),
    'measure the loss on them each so many steps; it is measured before the first step and after the last in any case',
    '--validate-every <steps>',
  ).optional(),
  draws: describe(
    whole(1).max(1000),
    'timesteps at which each of them is denoised; 8 by default',
  ).optional(),
  template: describe(templates, 'their captions, as in data; that of data by default').optional(),
  resolution: describe(resolution, 'their size, as in data; that of data by default').optional(),
  interpolation: describe(
    interpolation,
    'how they are resized; as the pictures of data by default',
  ).optional(),
});

const samplerNames = Object.keys(samplers) as SamplerName[];

const previewSchema = z.strictObject({
  every: describe(
    whole(1),
    'draw previews each so many steps',
    '--preview-every <steps>',
  ).optional(),
  prompts: describe(
    z.array(z.string()).min(1),
    'what previews show',
    '--preview-prompt <text>',
  ).optional(),
  negative: describe(z.string(), 'what previews avoid').optional(),
  seed: describe(z.int(), 'seed of all previews').optional(),
  steps: describe(whole(1), 'sampler steps of a preview').optional(),
  cfg: describe(z.number(), 'strength of guidance').optional(),
  sampler: describe(z.enum(samplerNames), 'sampler of previews').optional(),
  images: describe(
    path,
    'folder of pictures that previews start from, for bases that inpaint or enlarge: its first three; those of data by default',
    '--preview-images <dir>',
  ).optional(),
  noiseLevel: describe(
    whole(0),
    'noise in the small pictures, for bases that enlarge; 20 by default',
  ).optional(),
});

/** A part by its name, with its own settings. */
const partSchema = z.looseObject({ name: describe(z.string(), 'what it is called') });

/** Everything but the settings of a method, which its preset declares. */
export const commonSchema = z.strictObject({
  base: describe(
    path,
    'the model to fine-tune: a folder in diffusers layout, a .safetensors or .ckpt, or nano',
    '--base <base>',
  ),
  config: describe(
    path,
    'how a single-file base is built: a diffusers folder, .yaml or .json',
    '--config <path>',
  ).optional(),
  predictionType: describe(
    z.enum(['epsilon', 'v']),
    'what the base predicts, where nothing says so',
    '--prediction-type <type>',
  ).optional(),
  vae: describe(path, 'another VAE: a folder or a file', '--vae <path>').optional(),
  emaWeights: describe(
    z.boolean(),
    'start from the running averages of the U-Net that the base also holds',
    '--ema-weights',
  ).optional(),
  zeroTerminalSnr: describe(
    z.boolean(),
    'train and draw with a noise schedule that ends in pure noise; for bases that predict v',
    '--zero-terminal-snr',
  ).optional(),
  method: describe(z.string(), 'a preset').optional(),
  adapters: describe(
    z.array(partSchema).min(1),
    'instead of a method: adapters by name, with their settings',
  ).optional(),
  objective: describe(partSchema, 'the objective that goes with adapters').optional(),
  flavour: describe(
    z.enum(flavours),
    'whose defaults and rules apply',
    '--flavour <name>',
  ).optional(),
  data: describe(dataSchema, 'the pictures').optional(),
  optimizer: describe(optimizerSchema, 'the optimizer').optional(),
  clip: describe(
    z.union([z.literal(0), rate]),
    'largest norm of the gradient (or, with clipMode value, of each element), or such numbers with steps; 0 clips nothing',
    '--clip <x>',
  ).optional(),
  clipMode: describe(
    z.enum(['norm', 'value']),
    'what clip limits',
    '--clip-mode <mode>',
  ).optional(),
  schedule: describe(scheduleSchema, 'how the learning rate moves').optional(),
  ema: describe(
    z.union([z.boolean(), share, emaSchema]),
    'save and draw with running averages of what is trained (EMA); a number is the largest decay, 0.9999 by default',
    '--ema [decay]',
  ).optional(),
  steps: describe(
    whole(0),
    'steps of the run; 0 writes what is trained as it starts',
    '--steps <n>',
  ).optional(),
  batch: describe(whole(1), 'pictures in a batch', '--batch <n>').optional(),
  accumulate: describe(
    whole(1),
    'micro-steps whose gradients are averaged into one step',
    '--accumulate <n>',
  ).optional(),
  seed: describe(z.int(), 'the same seed gives the same run', '--seed <n>').optional(),
  latentSampling: describe(
    z.enum(['random', 'once', 'deterministic']),
    "which sample of a picture's latents is trained on: a new one each time, one for the whole run, or their mean",
    '--latent-sampling <how>',
  ).optional(),
  clipSkip: describe(
    whole(1),
    'which layer of the text encoder counts, from its end',
    '--clip-skip <n>',
  ).optional(),
  longPrompts: describe(
    z.enum(['truncate', 'chunks']),
    'what happens to prompts of more than 75 tokens: cut (diffusers) or encoded in chunks (A1111)',
  ).optional(),
  promptSyntax: describe(
    z.enum(promptSyntaxes),
    'how prompts and captions are read: as they stand, or as A1111 reads them, (more:1.2), [less], BREAK',
    '--prompt-syntax <syntax>',
  ).optional(),
  emphasis: describe(
    z.enum(emphases),
    "with the syntax a1111: what weights do, as in A1111's settings; original by default",
    '--emphasis <how>',
  ).optional(),
  recompute: describe(
    z.boolean(),
    'compute activations again for the gradient instead of keeping them: slower, less memory',
    '--recompute',
  ).optional(),
  initFrom: describe(
    path,
    'file with first values of what is trained',
    '--init-from <file>',
  ).optional(),
  save: describe(saveSchema, 'what is saved').optional(),
  preview: describe(previewSchema, 'pictures drawn while training').optional(),
  validation: describe(
    validationSchema,
    'pictures that are kept back, on which the loss is measured now and then: the validation loss',
  ).optional(),
});

/** The settings that every method has. A recipe holds those of its method beside them. */
export type CommonSettings = z.infer<typeof commonSchema>;
/** A run as plain data. */
export type Recipe = CommonSettings & Readonly<Record<string, unknown>>;
