import type { Size } from '@sdft/data';
import {
  type ClipTextConfig,
  type NoiseSchedule,
  noiseSchedule,
  type Tokenizer,
  type UNetConfig,
  type VaeConfig,
} from '@sdft/models';
import { UserError, type Weight } from '@sdft/tensor';

/** The model that is fine-tuned: its settings, and frozen weights that are read when asked for. */
export interface Base {
  /** As the recipe names it. */
  readonly name: string;
  readonly unet: UNetConfig;
  readonly textEncoder: ClipTextConfig;
  readonly vae: VaeConfig;
  readonly schedule: NoiseSchedule;
  /** Its own vocabulary, without the words that adapters teach. */
  readonly tokenizer: Tokenizer;
  /** Where the vocabulary's files are, if the base brings its own. */
  readonly tokenizerFolder?: string | undefined;
  /** By full path (`unet.conv_in.weight`). */
  readonly weights: ReadonlyMap<string, Weight>;
  /** For people: where its settings came from. */
  readonly notes: readonly string[];
}

/** What a base computes, without its weights and its vocabulary: all that a graph is traced from. */
export type Networks = Pick<Base, 'name' | 'unet' | 'textEncoder' | 'vae' | 'schedule'>;

/** What a base makes pictures from: a prompt, and beside it nothing, a masked picture, or a small one. */
export type BaseKind = 'text-to-image' | 'inpainting' | 'upscaling';

/**
 * The kind of a base, by the channels that its U-Net takes beside the noisy latents: none, a mask and the latents of the masked picture, or a picture.
 *
 * @throws UserError for others
 */
export function kindOf({ name, unet, vae }: Pick<Base, 'name' | 'unet' | 'vae'>): BaseKind {
  switch (unet.inChannels - vae.latentChannels) {
    case 0:
      return 'text-to-image';
    case 1 + vae.latentChannels:
      return 'inpainting';
    case vae.inChannels:
      return 'upscaling';
    default:
      throw new UserError(
        `${name}: its U-Net takes ${unet.inChannels} channels where its VAE gives ${vae.latentChannels}: it is made neither for prompts alone, nor for inpainting, nor for upscaling, and cannot be used here`,
      );
  }
}

/** The schedule by which an upscaling base's small pictures get their noise: the one of its latents, but never ending in pure noise. */
export const lowResSchedule = ({ schedule: { config } }: Pick<Base, 'schedule'>): NoiseSchedule =>
  noiseSchedule({ ...config, rescaleBetasZeroSnr: false });

/** Levels of noise that an upscaling base's U-Net knows. Throws UserError where it knows none. */
export function noiseLevels({
  name,
  unet: { numClassEmbeds },
  schedule,
}: Pick<Base, 'name' | 'unet' | 'schedule'>): number {
  if (numClassEmbeds === undefined)
    throw new UserError(
      `${name}: its U-Net takes a small picture and no noise level (num_class_embeds), unlike the x4 upscaler; it cannot be used here`,
    );
  return Math.min(numClassEmbeds, schedule.length);
}

/** Pixels of a side that stand for one latent. */
export const pixelsPerLatent = ({ vae }: Base): number => 2 ** (vae.blockOutChannels.length - 1);

/** Why pictures of this size, in pixels, have no latents, with the nearest sizes that have; undefined where they have. */
export function latentSizeProblem(base: Base, { width, height }: Size): string | undefined {
  const scale = pixelsPerLatent(base);
  if (width % scale === 0 && height % scale === 0) return undefined;
  const fitted = (round: (x: number) => number): string => {
    const [w, h] = [width, height].map((side) => Math.max(1, round(side / scale)) * scale);
    return w === h ? `${w}` : `${w}x${h}`;
  };
  const fitting = [...new Set([fitted(Math.floor), fitted(Math.ceil)])];
  return `one latent stands for ${scale} x ${scale} pixels, so sides must be multiples of ${scale}: ${fitting.join(' or ')}`;
}
