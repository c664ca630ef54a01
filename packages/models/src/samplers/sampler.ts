import { UserError } from '@sdft/tensor';
import type { ScheduleConfig } from '../config.ts';
import type { NoiseSchedule } from '../schedule/noiseSchedule.ts';

export type SamplerName = 'ddim' | 'euler' | 'euler-a' | 'plms' | 'dpmpp-2m';
export type TimestepSpacing = ScheduleConfig['timestepSpacing'];
export type SigmaSpacing = 'normal' | 'karras';

/** The U-Net with guidance: latents as it wants them and a timestep (fractional for Euler) to its prediction of the same shape, a new array each time. */
export type Denoise = (latents: Float32Array, timestep: number) => Promise<Float32Array>;

export interface SamplingOptions {
  readonly schedule: NoiseSchedule;
  /** Whole number, 1 to T. */
  readonly steps: number;
  /** Which timesteps are visited (Lin et al. 2023, arXiv:2305.08891, table 2); the checkpoint's own unless told otherwise. */
  readonly spacing?: TimestepSpacing | undefined;
  /** `karras`: noise levels of Karras et al. 2022, equation 5, for the samplers that work on sigmas; `normal` unless told otherwise. */
  readonly sigmas?: SigmaSpacing | undefined;
}

/** Where sampling begins that starts from a picture. Source: SDEdit, Meng et al. 2022, arXiv:2108.01073, as diffusers' img2img pipeline has it. */
export interface SamplingStart {
  /** The first step that is taken, 0 to steps - 1. */
  readonly step: number;
  /** Clean latents, to which the noise of that step is added. */
  readonly clean: Float32Array;
}

export interface SamplingRun extends SamplingOptions {
  readonly denoise: Denoise;
  /** Unit Gaussian noise, any shape; the sampler scales it. */
  readonly latents: Float32Array;
  /** Where to begin; by default from noise alone, at the first step. */
  readonly start?: SamplingStart | undefined;
  /** Unit Gaussian noise for a step, as long as the latents; only ancestral samplers ask for it. */
  readonly draw?: ((step: number) => Float32Array) | undefined;
}

/** What a sampler is going to do, before it does it. */
export interface SamplingPlan {
  /** Timestep of each call of `denoise`, in order. */
  readonly timesteps: readonly number[];
  /** Noise level before each call and after the last; absent in samplers that work on ᾱ alone. */
  readonly sigmas?: readonly number[];
  /** Standard deviation of the first latents. */
  readonly initNoiseSigma: number;
}

/** State after one call of `denoise`. The last one's latents are the result, as the VAE's latents times its scaling factor. */
export interface SamplerStep {
  /** 0, 1, 2, ..., of all that the plan has: it begins later where sampling does. */
  readonly step: number;
  readonly timestep: number;
  readonly latents: Float32Array;
}

export interface Sampler {
  readonly name: SamplerName;
  /** @throws UserError where the options do not fit; `sample` throws the same at its first step */
  plan(options: SamplingOptions): SamplingPlan;
  sample(run: SamplingRun): AsyncGenerator<SamplerStep, void, undefined>;
}

/** @throws UserError unless `steps` is a whole number from 1 to T */
export function checkSteps({ schedule, steps }: SamplingOptions): void {
  if (!Number.isInteger(steps) || steps < 1 || steps > schedule.length) {
    throw new UserError(
      `sampling steps: expected a whole number from 1 to ${schedule.length}, got ${steps}. 20 to 50 are usual.`,
    );
  }
}

/** @throws UserError for Karras noise levels in a sampler that has none */
export function refuseKarras(name: SamplerName, { sigmas }: SamplingOptions): void {
  if (sigmas === 'karras') {
    throw new UserError(
      `sampler ${name} has no noise levels to space: karras goes with euler, euler-a and dpmpp-2m.`,
    );
  }
}

/** The steps that are taken, with their timesteps. */
export const stepsFrom = (
  timesteps: readonly number[],
  start: SamplingStart | undefined,
): readonly (readonly [step: number, timestep: number])[] =>
  timesteps.map((t, step) => [step, t] as const).slice(start?.step ?? 0);

/** signal x_0 + noise ε, the first latents of sampling that starts from a picture. */
export const noisy = (
  { clean }: SamplingStart,
  latents: Float32Array,
  signal: number,
  noise: number,
): Float32Array => clean.map((value, i) => signal * value + noise * latents[i]!);
