import type { Batch, Models, Objective } from '@sdft/pipeline';
import { arange, concat, full, type Tensor, UserError } from '@sdft/tensor';
import { bicubic } from './bicubic.ts';
import { denoise, type DenoiseOptions } from './denoise.ts';

export interface AugmentationOptions {
  /** Noise in the small pictures at the first step, as a share of the variance. Default 1e-3. */
  readonly augmentation?: number | undefined;
  /** The same at the last step; in between it falls by equal factors. Default 1e-5. */
  readonly augmentationEnd?: number | undefined;
}

export interface SuperResolveOptions extends DenoiseOptions, AugmentationOptions {}

/**
 * What an upscaling model is asked for: `denoise` of the large picture's latents, given the small picture with a little noise, as channels beside the noisy latents, and
 * its noise level, as class label. The small picture is the large one, reduced to the size of its latents. Its level is the last one whose noise is not more than
 * `augmentation`, 0 where none is. Draws: `low_res_noise` [B,3,h,w], and those of `denoise`. Sources: what diffusers' `StableDiffusionUpscalePipeline` gives the U-Net;
 * Ruiz et al. 2022 (arXiv:2208.12242, version 1, section 4.4), who lower the augmentation from 1e-3 to 1e-5.
 *
 * @throws UserError for settings out of range; when it is traced, where the base is no upscaling model, or nothing says how many steps the run has
 */
export function superResolve(options: SuperResolveOptions = {}): Objective {
  const { augmentation = 1e-3, augmentationEnd = 1e-5 } = options;
  for (const [name, value] of Object.entries({ augmentation, augmentationEnd }))
    if (!(value > 0 && value < 1))
      throw new UserError(
        `superResolve: ${name} must lie between 0 and 1, got ${value}; 1e-3 and 1e-5 are usual`,
      );
  const denoising = denoise(options);
  const objective: Objective = (models, batch, draw) => {
    const lowRes = lowResOf(models);
    const [size, , height, width] = batch.latents.shape as [number, number, number, number];
    const level = lastLevel(lowRes, shareNow(batch, augmentation, augmentationEnd));
    const levels = level.broadcastTo([size]);
    const small = bicubic(batch.pixels(), height, width).clamp(-1, 1);
    const noise = draw.normal('low_res_noise', small.shape);
    const beside = lowRes.schedule.addNoise(small, noise, levels);
    const unet: Models['unet'] = (noisy, t, context) =>
      models.unet(concat([noisy, beside], 1), t, context, levels);
    return denoising({ ...models, unet }, batch, draw);
  };
  const own = Object.entries({
    augmentation: options.augmentation,
    augmentationEnd: options.augmentationEnd,
  }).filter(([, value]) => value !== undefined);
  return Object.assign(objective, {
    recipe: { ...denoising.recipe, name: 'super-resolve', ...Object.fromEntries(own) },
  });
}

function lowResOf({ lowRes }: Models): NonNullable<Models['lowRes']> {
  if (lowRes) return lowRes;
  throw new UserError(
    'super-resolution trains models that enlarge pictures, such as stabilityai/stable-diffusion-x4-upscaler, and this base is none: its U-Net knows no noise levels. Take such a base, or another method',
  );
}

/** The augmentation of this step, []. */
const shareNow = (batch: Batch, start: number, end: number): Tensor =>
  start === end
    ? full(batch.latents, [], start)
    : batch
        .progress()
        .mul(Math.log(end / start))
        .add(Math.log(start))
        .exp();

/** The last level whose noise is not more than a share of the variance, [] i32; 0 where there is none. */
function lastLevel({ schedule, levels }: NonNullable<Models['lowRes']>, share: Tensor): Tensor {
  const all = arange(share, levels).cast('i32');
  // 1 - alphasCumprod = 1 / (1 + SNR)
  const noise = schedule.snr(all).add(1).reciprocal();
  return noise.greater(share).where(0, 1).sum().sub(1).maximum(0).cast('i32');
}
