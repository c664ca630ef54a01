import { type Size, sizeOf } from '@sdft/data';
import {
  type Emphasis,
  type SamplerName,
  samplerNamed,
  type SigmaSpacing,
  type TimestepSpacing,
} from '@sdft/models';
import { draws, type HostArray, UserError } from '@sdft/tensor';
import type { LongPrompts, PromptSyntax } from '../encoding/prompts.ts';
import type { Generated } from './generator.ts';
import type { Recipe } from '../recipe/schema.ts';
import {
  type Base,
  kindOf,
  latentSizeProblem,
  noiseLevels,
  pixelsPerLatent,
} from '../training/base.ts';

export interface GenerateOptions {
  /** What the picture shall not show. Default: nothing. */
  readonly negative?: string | undefined;
  /** How many pictures; the seed of picture i is `seed` + i. Default 1. */
  readonly n?: number | undefined;
  /** Default 0. */
  readonly seed?: number | undefined;
  /** Sampler steps. Default 25. */
  readonly steps?: number | undefined;
  /** Default `ddim`. */
  readonly sampler?: SamplerName | undefined;
  /** Strength of classifier-free guidance; 1 is none. Default 7.5. */
  readonly cfg?: number | undefined;
  /** Pixels: a side, or WIDTHxHEIGHT. Default: the size that the base was trained at. */
  readonly size?: number | `${number}x${number}` | undefined;
  /** Which timesteps are visited; by default as the base says. */
  readonly spacing?: TimestepSpacing | undefined;
  /** Noise levels; `karras` for the samplers that work on sigmas. */
  readonly sigmas?: SigmaSpacing | undefined;
  /** Which layer of the text encoder counts, from its end. Default: as in training, 1 elsewhere. */
  readonly clipSkip?: number | undefined;
  /** Default: as in training, `chunks` elsewhere. */
  readonly longPrompts?: LongPrompts | undefined;
  /**
   * `a1111`: (emphasis:1.2), BREAK, [from:to:10], [this|that] and a weight at the end of the prompt are read as A1111 does; always in chunks. Default: as in training, `plain`
   * elsewhere.
   */
  readonly promptSyntax?: PromptSyntax | undefined;
  /** What weights do, with `a1111`. Default: as in training, `original` elsewhere. */
  readonly emphasis?: Emphasis | undefined;
  /** How much of each adapter counts, in their order; 1 where nothing is said. */
  readonly strengths?: readonly number[] | undefined;
  /** Ids in place of prompts: [n, 77] each. */
  readonly promptIds?:
    | {
        readonly cond: readonly (readonly number[])[];
        readonly uncond: readonly (readonly number[])[];
      }
    | undefined;
  /** Unit Gaussian noise to start from, [n,C,h,w]. */
  readonly latents?: HostArray | undefined;
  /** A picture to start from, f32 [1,3,H,W] in -1..1, at the mean of its latents; its size is that of what is drawn. */
  readonly initImage?: HostArray | undefined;
  /** How far the picture is changed, 0 to 1: the share of the steps that are taken. Default 0.8; 1 with a mask, where the picture outside of it still counts. */
  readonly strength?: number | undefined;
  /** For inpainting bases, together with `initImage`: f32 [1,1,H,W], 0.5 and more where the picture is drawn anew. Default: everywhere, and no picture counts. */
  readonly mask?: HostArray | undefined;
  /** For upscaling bases: the picture that is enlarged, f32 [1,3,h,w] in -1..1. What is drawn is larger by the pixels that stand for one latent: 4 for the x4 upscaler. */
  readonly lowRes?: HostArray | undefined;
  /** How much noise that picture gets: 0, the least, up to the levels that the base knows. More lets the base invent more. Default 20. */
  readonly noiseLevel?: number | undefined;
  /** Unit Gaussian noise for that picture, [n,3,h,w]; by default that of each picture's seed. */
  readonly lowResNoise?: HostArray | undefined;
  /** Hears of the latents [n,C,h,w] of a group of pictures after each sampler step. */
  readonly onStep?:
    | ((state: {
        readonly step: number;
        readonly first: number;
        readonly latents: HostArray;
      }) => void)
    | undefined;
  /** Gets each picture as soon as it is there, and is waited for. */
  readonly onPicture?: ((generated: Generated, index: number) => Promise<void> | void) | undefined;
  /** Stops between sampler steps. */
  readonly signal?: AbortSignal | undefined;
}

/** Most cells of latents that go through the U-Net at once, per guidance half: one picture of 512 pixels, eight of 64. */
const CELLS_AT_ONCE = 4096;
const PICTURES_AT_ONCE = 8;
/** diffusers' `StableDiffusionUpscalePipeline`. */
const DEFAULT_LEVEL = 20;

/** Throws UserError where picture, mask and base do not go together. */
function checkPictures(base: Base, options: GenerateOptions): void {
  const { initImage, mask, latents, size, sampler } = options;
  const kind = kindOf(base);
  checkLowRes(base, options);
  if (kind === 'inpainting' && (initImage === undefined) !== (mask === undefined))
    throw new UserError(
      `generate: ${base.name} is made for inpainting: give it a picture and a mask (initImage, mask), or neither, and it draws everything`,
    );
  if (mask && kind !== 'inpainting')
    throw new UserError(
      `generate: a mask goes with a base that is made for inpainting, which ${base.name} is not`,
    );
  if (!initImage) return;
  const [one, channels, height, width] = initImage.shape;
  if (initImage.shape.length !== 4 || one !== 1 || channels !== base.vae.inChannels)
    throw new UserError(
      `generate: initImage must be [1, ${base.vae.inChannels}, H, W], got [${initImage.shape.join(', ')}]`,
    );
  if (mask && String(mask.shape) !== String([1, 1, height, width]))
    throw new UserError(
      `generate: mask must be [1, 1, ${height}, ${width}] as the picture is, got [${mask.shape.join(', ')}]`,
    );
  const wanted = size === undefined ? { width, height } : sizeOf(size);
  if (wanted.width !== width || wanted.height !== height)
    throw new UserError(
      `generate: size ${size} is asked for, the picture is ${width}x${height}; resize it first`,
    );
  const scale = pixelsPerLatent(base);
  if (latents && (latents.shape[2]! * scale !== height || latents.shape[3]! * scale !== width))
    throw new UserError('generate: latents are not as large as the picture');
  if (sampler === 'plms')
    throw new UserError(
      'generate: plms cannot start from a picture; take ddim, euler, euler-a or dpmpp-2m',
    );
}

/** Throws UserError where base and picture to enlarge do not go together. */
function checkLowRes(base: Base, options: GenerateOptions): void {
  const { lowRes, noiseLevel = DEFAULT_LEVEL, lowResNoise, latents, size, initImage, n } = options;
  const fail = (why: string): UserError => new UserError(`generate: ${why}`);
  if (kindOf(base) !== 'upscaling') {
    if (lowRes)
      throw fail(
        `a picture is enlarged (lowRes) by a base that is made for upscaling, which ${base.name} is not`,
      );
    return;
  }
  if (!lowRes)
    throw fail(
      `${base.name} is made for upscaling and draws nothing from a prompt alone; give it a picture to enlarge (lowRes; sdft upscale)`,
    );
  if (initImage)
    throw fail(`${base.name} is made for upscaling: give it its picture as lowRes, not initImage`);
  const { shape } = lowRes;
  const [one, channels, height, width] = shape;
  if (shape.length !== 4 || one !== 1 || channels !== base.vae.inChannels || !height || !width)
    throw fail(`lowRes must be [1, ${base.vae.inChannels}, h, w], got [${shape.join(', ')}]`);
  const levels = noiseLevels(base);
  if (!Number.isInteger(noiseLevel) || noiseLevel < 0 || noiseLevel >= levels)
    throw fail(
      `noiseLevel must be a whole number from 0 to ${levels - 1}, which ${base.name} knows, got ${noiseLevel}`,
    );
  if (size !== undefined)
    throw fail('the size of what is drawn follows from the picture (lowRes); leave size out');
  const noises = [latents?.shape[0] ?? n ?? 1, channels, height, width];
  if (lowResNoise && String(lowResNoise.shape) !== String(noises))
    throw fail(`lowResNoise must be [${noises.join(', ')}], got [${lowResNoise.shape.join(', ')}]`);
  if (latents && (latents.shape[2] !== height || latents.shape[3] !== width))
    throw fail(
      `latents must be as large as the picture (lowRes), ${height} x ${width}, got ${latents.shape[2]} x ${latents.shape[3]}`,
    );
}

/** The first step that is taken. Throws UserError where none would be. */
function firstStep(
  steps: number,
  { initImage, mask, strength = mask ? 1 : 0.8 }: GenerateOptions,
): number {
  if (!initImage) return 0;
  if (!(strength > 0 && strength <= 1))
    throw new UserError(`generate: strength must be above 0 and at most 1, got ${strength}`);
  const taken = Math.min(Math.trunc(steps * strength), steps);
  if (taken < 1)
    throw new UserError(
      `generate: strength ${strength} of ${steps} steps is not one step; take more steps or a greater strength`,
    );
  return steps - taken;
}

/** Settings of previews that a recipe leaves out: as A1111 draws them while it trains, 20 steps. */
export const previewDefaults = { steps: 20, cfg: 7.5, seed: 0, n: 1 };

/** Throws UserError where previews could not be drawn, before the first of them is due. */
export function checkPreview(
  { schedule }: Base,
  {
    every,
    prompts,
    steps = previewDefaults.steps,
    sampler = 'ddim',
  }: NonNullable<Recipe['preview']>,
): void {
  if (every === undefined && prompts)
    throw new UserError('preview.every is missing: say after how many steps previews are drawn');
  if (every !== undefined && !prompts)
    throw new UserError('preview.prompts is missing: say what previews show');
  if (steps > schedule.length)
    throw new UserError(
      `preview.steps ${steps}: the base has ${schedule.length} timesteps; 20 to 50 steps are usual`,
    );
  samplerNamed(sampler).plan({ schedule, steps });
}

/** Pixels of what is drawn. */
export function pictureSize(base: Base, { size, initImage, lowRes }: GenerateOptions): Size {
  const scale = pixelsPerLatent(base);
  // As it is, however large: a size that is asked for is held against limits.
  if (lowRes) return { width: lowRes.shape[3]! * scale, height: lowRes.shape[2]! * scale };
  const [, , tall, wide] = initImage?.shape ?? [];
  return sizeOf(
    size ?? (wide === undefined ? (base.unet.sampleSize ?? 64) * scale : `${wide}x${tall!}`),
  );
}

/** Options with their defaults. Throws UserError where one is out of range. */
export function generateSettings(base: Base, options: GenerateOptions) {
  const { seed = 0, steps = 25, sampler = 'ddim', cfg = 7.5, latents } = options;
  checkPictures(base, options);
  const n = latents?.shape[0] ?? options.n ?? 1;
  const scale = pixelsPerLatent(base);
  const size = pictureSize(base, options);
  const channels = base.vae.latentChannels;
  if (!Number.isInteger(n) || n < 1)
    throw new UserError(`generate: n must be a whole number, 1 or more, got ${n}`);
  if (!Number.isSafeInteger(seed))
    throw new UserError(`generate: seed must be a whole number, got ${seed}`);
  const odd = (options.strengths ?? []).find((strength) => !Number.isFinite(strength));
  if (odd !== undefined) throw new UserError(`generate: a strength must be a number, got ${odd}`);
  if (!Number.isFinite(cfg)) throw new UserError(`generate: cfg must be a number, got ${cfg}`);
  const problem = latentSizeProblem(base, size);
  if (problem !== undefined)
    throw new UserError(`generate: size ${size.width}x${size.height}: ${problem}`);
  if (latents && (latents.shape.length !== 4 || latents.shape[1] !== channels))
    throw new UserError(
      `generate: latents must be [n, ${channels}, h, w], got [${latents.shape.join(', ')}]`,
    );
  const [height, width] = latents
    ? [latents.shape[2]!, latents.shape[3]!]
    : [size.height / scale, size.width / scale];
  const one = channels * height * width;
  const most = Math.min(
    PICTURES_AT_ONCE,
    Math.max(1, Math.floor(CELLS_AT_ONCE / (height * width))),
  );
  return {
    n,
    seed,
    steps,
    sampler,
    cfg,
    channels,
    first: firstStep(steps, options),
    noiseLevel: options.noiseLevel ?? DEFAULT_LEVEL,
    height,
    width,
    /** Pictures that are drawn together. */
    size: Math.ceil(n / Math.ceil(n / most)),
    /** Unit Gaussian noise of picture i, [C,h,w]. */
    noise: (i: number): Float32Array =>
      latents
        ? Float32Array.from(latents.data.subarray(i * one, (i + 1) * one))
        : draws(seed + i).normal('latents', 0, [channels, height, width]).data,
  };
}
