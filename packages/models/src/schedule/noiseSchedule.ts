import { UserError } from '@sdft/tensor';
import type { ScheduleConfig } from '../config.ts';

/**
 * The forward process x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε (Ho et al. 2020, arXiv:2006.11239, equation 4) as tables over t = 0 .. T−1.
 */
export interface NoiseSchedule {
  readonly config: ScheduleConfig;
  /** T. */
  readonly length: number;
  readonly betas: Float64Array;
  /** ᾱ_t = ∏ (1 − β_s), s <= t. 0 at the end where the terminal SNR is zero. */
  readonly alphasCumprod: Float64Array;
  readonly sqrtAlphasCumprod: Float64Array;
  readonly sqrtOneMinusAlphasCumprod: Float64Array;
}

export interface NoiseScheduleOptions {
  /**
   * `f32` (default): every value is the float32 that diffusers has, to the bit wherever torch rounds as IEEE 754 says. `f64`: double precision throughout, as
   * A1111's training code has it. They are 1e-7 apart.
   */
  readonly precision?: 'f32' | 'f64';
}

/**
 * Tables of a checkpoint's noise schedule.
 * @throws UserError where betas are not between 0 and 1 or T is not a positive whole number
 */
export function noiseSchedule(
  config: ScheduleConfig,
  { precision = 'f32' }: NoiseScheduleOptions = {},
): NoiseSchedule {
  checkConfig(config);
  const round: Rounding = precision === 'f32' ? Math.fround : (value) => value;
  let betas = trainedBetas(config, round);
  if (config.rescaleBetasZeroSnr) betas = rescaleZeroTerminalSnr(betas, round);
  const alphasCumprod = cumulativeProduct(betas, round);
  return {
    config,
    length: betas.length,
    betas,
    alphasCumprod,
    sqrtAlphasCumprod: alphasCumprod.map((alpha) => round(Math.sqrt(alpha))),
    sqrtOneMinusAlphasCumprod: alphasCumprod.map((alpha) => round(Math.sqrt(round(1 - alpha)))),
  };
}

type Rounding = (value: number) => number;

function trainedBetas(
  { betaStart, betaEnd, betaSchedule, numTrainTimesteps: length }: ScheduleConfig,
  round: Rounding,
): Float64Array {
  switch (betaSchedule) {
    case 'linear':
      return linspace(betaStart, betaEnd, length, round);
    case 'scaled_linear':
      return linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), length, round).map((root) =>
        round(root * root),
      );
  }
}

/** `torch.linspace`: it counts from the nearer end, with a rounded step and one rounding per value. */
function linspace(start: number, end: number, length: number, round: Rounding): Float64Array {
  const first = round(start);
  const last = round(end);
  const step = length > 1 ? round(round(last - first) / (length - 1)) : 0;
  return Float64Array.from({ length }, (_, i) =>
    round(i < length / 2 ? first + step * i : last - step * (length - 1 - i)),
  );
}

/** `torch.cumprod` of 1 − β: on a CPU it multiplies in double precision and rounds what it stores. */
function cumulativeProduct(betas: Float64Array, round: Rounding): Float64Array {
  let product = 1;
  return betas.map((beta) => {
    product *= round(1 - beta);
    return round(product);
  });
}

/**
 * Betas whose last step has no signal left, the first one's √ᾱ kept: √ᾱ is shifted, then scaled.
 * Source: Lin et al. 2023, arXiv:2305.08891, algorithm 1.
 */
export function rescaleZeroTerminalSnr(
  betas: Float64Array,
  round: Rounding = (value) => value,
): Float64Array {
  const roots = cumulativeProduct(betas, round).map((alpha) => round(Math.sqrt(alpha)));
  const first = roots[0]!;
  const last = roots[roots.length - 1]!;
  const scale = round(first / round(first - last));
  const alphas = roots.map((root) => {
    const scaled = round(round(root - last) * scale);
    return round(scaled * scaled);
  });
  return alphas.map((alpha, t) => round(1 - (t === 0 ? alpha : round(alpha / alphas[t - 1]!))));
}

/** Signal-to-noise ratio ᾱ_t / (1 − ᾱ_t); 0 at the end of a zero-terminal-SNR schedule. */
export function snr({ alphasCumprod }: NoiseSchedule, t: number): number {
  const alpha = alphasCumprod[t]!;
  return alpha / (1 - alpha);
}

/** Float32 values for each element of a batch, each array as long as the batch. */
export interface DiffusionCoefficients {
  /** x_t = `sqrtAlphasCumprod` x_0 + `sqrtOneMinusAlphasCumprod` ε. */
  readonly sqrtAlphasCumprod: Float32Array;
  readonly sqrtOneMinusAlphasCumprod: Float32Array;
  /** What the U-Net is to predict: `targetNoise` ε + `targetSample` x_0. */
  readonly targetNoise: Float32Array;
  readonly targetSample: Float32Array;
  readonly snr: Float32Array;
}

/**
 * What training needs at the timesteps of a batch. The target is ε, or v = √ᾱ ε − √(1−ᾱ) x_0 (Salimans and Ho 2022,
 * arXiv:2202.00512, appendix D), as the configuration says.
 * @throws UserError for a timestep outside 0 .. T−1
 */
export function diffusionCoefficients(
  schedule: NoiseSchedule,
  timesteps: ArrayLike<number>,
): DiffusionCoefficients {
  const { sqrtAlphasCumprod, sqrtOneMinusAlphasCumprod, config, length } = schedule;
  const steps = Array.from(timesteps);
  const outside = steps.find((t) => !Number.isInteger(t) || t < 0 || t >= length);
  if (outside !== undefined) {
    throw new UserError(
      `timestep ${outside}: this noise schedule has the timesteps 0 to ${length - 1}, whole numbers.`,
    );
  }
  const velocity = config.predictionType === 'v_prediction';
  const table = (value: (t: number) => number) => Float32Array.from(steps, value);
  return {
    sqrtAlphasCumprod: table((t) => sqrtAlphasCumprod[t]!),
    sqrtOneMinusAlphasCumprod: table((t) => sqrtOneMinusAlphasCumprod[t]!),
    targetNoise: table((t) => (velocity ? sqrtAlphasCumprod[t]! : 1)),
    targetSample: table((t) => (velocity ? -sqrtOneMinusAlphasCumprod[t]! : 0)),
    snr: table((t) => snr(schedule, t)),
  };
}

function checkConfig({ betaStart, betaEnd, numTrainTimesteps }: ScheduleConfig): void {
  if (!(betaStart > 0 && betaStart < 1 && betaEnd > 0 && betaEnd < 1)) {
    throw new UserError(
      `noise schedule: betas must lie between 0 and 1, got beta_start ${betaStart} and beta_end ${betaEnd}. Stable Diffusion has 0.00085 and 0.012.`,
    );
  }
  if (!Number.isSafeInteger(numTrainTimesteps) || numTrainTimesteps < 1) {
    throw new UserError(
      `noise schedule: num_train_timesteps must be a positive whole number, got ${numTrainTimesteps}. Stable Diffusion has 1000.`,
    );
  }
}
