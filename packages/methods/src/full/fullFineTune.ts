import { type Adapter, copyOf, type Method, type Parameters, type Preset } from '@sdft/pipeline';
import { type Tensor, UserError } from '@sdft/tensor';
import { denoise, type DenoiseOptions } from '../objectives/denoise.ts';
import { checkpointFiles, type CheckpointDtype } from './checkpointFiles.ts';
import { layerRates, type LayerRates } from './layerRates.ts';
import { settingsSchema } from './settings.ts';

export interface FullFineTuneOptions extends DenoiseOptions {
  /**
   * Globs over the layers that are trained, such as `unet.**.attn2.*`; those that begin with `!` take layers out again. Default `unet.**`, and with
   * `trainTextEncoder` also `text_encoder.**`.
   */
  readonly at?: string | readonly string[] | undefined;
  /** Train the text encoder, too. Default: what `at` says. */
  readonly trainTextEncoder?: boolean | undefined;
  /** Learning rate of the text encoder's layers. Default: the optimizer's. */
  readonly textEncoderLr?: number | string | undefined;
  /** Learning rates by globs over layers: the last one that matches a layer counts, and 0 freezes it. */
  readonly lrs?: LayerRates | undefined;
  /** What every weight of the saved checkpoint is stored as. Default: f32 for what was trained, and the rest as the base has it, to the bit. */
  readonly dtype?: CheckpointDtype | undefined;
}

/**
 * Full fine-tuning: every parameter of the layers at `at` is trained, starting from its own value, in f32. What is saved is the whole model: a folder in diffusers
 * layout, or a single file in that of CompVis and Stability. Source: diffusers `train_text_to_image.py`.
 *
 * An adapter, and a method with the objective `denoise`.
 *
 * @throws UserError for settings out of range
 */
export function fullFineTune(options: FullFineTuneOptions = {}): Adapter & Method {
  const { trainTextEncoder = false, textEncoderLr, lrs = {}, dtype } = options;
  const at = [options.at ?? 'unet.**', ...(trainTextEncoder ? ['text_encoder.**'] : [])].flat();
  if (at.every((glob) => glob.startsWith('!')))
    throw new UserError('full fine-tuning: at takes layers out but names none; "unet.**" is all');
  const rateOf = layerRates({
    ...(textEncoderLr !== undefined && { 'text_encoder.**': textEncoderLr }),
    ...lrs,
  });
  const settings = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  );
  const adapter: Adapter = {
    name: 'full',
    options: settings,
    at,
    lr: ({ path }) => rateOf(path),
    files: checkpointFiles(dtype),
    init: ({ path, parameters }) =>
      Object.fromEntries(
        rateOf(path) === 0
          ? []
          : Object.entries(parameters).map(([name, shape]) => [
              name,
              copyOf(`${path}.${name}`, shape),
            ]),
      ),
    wrap: (layer, parameters: Parameters<Tensor>) => layer.with(parameters),
  };
  return {
    ...adapter,
    options: settings,
    adapters: [adapter],
    objective: denoise(options),
    preset: fullPreset,
  };
}

/** Full fine-tuning as recipes and the command line know it. */
export const fullPreset: Preset<typeof settingsSchema> = {
  name: 'full',
  summary: 'train all weights of the U-Net, and of the text encoder where wanted',
  schema: settingsSchema,
  flavours: ['diffusers', 'kohya'],
  // Rates: the command in the README of diffusers' examples/text_to_image, and kohya's default. Steps are kohya's.
  defaults: (flavour) => ({
    optimizer: { name: 'adamw', lr: flavour === 'kohya' ? 2e-6 : 1e-5, weightDecay: 0.01 },
    clip: 1,
    steps: 1600,
  }),
  assemble: fullFineTune,
  example: '--base nano --images photos --snr-gamma 5 --steps 500 --out tuned',
};
