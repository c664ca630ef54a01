import type { Adapter, Method, Preset } from '@sdft/pipeline';
import { z } from 'zod';
import { fullFineTune, type FullFineTuneOptions } from '../full/fullFineTune.ts';
import { settingsSchema as fullSettings } from '../full/settings.ts';
import { reconstruct, type ReconstructOptions } from '../objectives/reconstruct.ts';
import { reconstructSettings } from '../objectives/settings.ts';

export interface AutoencoderOptions
  extends ReconstructOptions,
    Pick<FullFineTuneOptions, 'lrs' | 'dtype'> {
  /** Globs over the layers that are trained, such as `vae.decoder.**`, which leaves latents as they are. Default `vae.**`. */
  readonly at?: string | readonly string[] | undefined;
}

/**
 * Training of the autoencoder between pictures and latents, from a base that has one, which may be random. What is saved is the whole model; its scaling factor stays what it was.
 *
 * @throws UserError for settings out of range
 */
export function autoencoder(options: AutoencoderOptions = {}): Method {
  const { at = 'vae.**', lrs, dtype, pixelLoss, gradientWeight, klWeight } = options;
  const [adapter] = fullFineTune({ at, lrs, dtype }).adapters as [Adapter];
  return {
    name: 'autoencoder',
    options: Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
    adapters: [adapter],
    objective: reconstruct({ pixelLoss, gradientWeight, klWeight }),
    preset: autoencoderPreset,
  };
}

const schema = z.strictObject({
  at: fullSettings.shape.at
    .unwrap()
    .meta({
      flag: '--targets <glob>',
      description: 'layers that are trained: "vae.**" by default; a recipe can name several',
    })
    .optional(),
  lrs: fullSettings.shape.lrs,
  dtype: fullSettings.shape.dtype,
  ...reconstructSettings.shape,
});

/** The autoencoder as recipes and the command line know it. */
export const autoencoderPreset: Preset<typeof schema> = {
  name: 'autoencoder',
  summary: 'train the autoencoder between pictures and latents',
  schema,
  flavours: ['diffusers'],
  defaults: () => ({
    optimizer: { name: 'adamw', lr: 1e-4, weightDecay: 0 },
    clip: 1,
    steps: 1000,
    batch: 8,
  }),
  assemble: autoencoder,
  example: '--base nano --images photos --steps 500 --out sharper',
};
