import {
  checkSteps,
  noisy,
  type SamplerStep,
  type SamplingOptions,
  type SamplingPlan,
  type SamplingRun,
  stepsFrom,
} from './sampler.ts';
import { karrasSigmas, sigmaAt, timestepOf, trainedSigmas } from './sigmas.ts';
import { roundHalfEven, solverTimesteps } from './timesteps.ts';

/**
 * Whole timesteps and noise levels. Karras levels span all trained ones, whatever the spacing.
 * @throws UserError where the options do not fit
 */
export function dpmpp2mPlan(options: SamplingOptions): SamplingPlan {
  checkSteps(options);
  const { schedule, steps } = options;
  const trained = trainedSigmas(schedule);
  let timesteps: number[];
  let sigmas: number[];
  if (options.sigmas === 'karras') {
    sigmas = karrasSigmas(trained.at(-1)!, trained[0]!, steps);
    timesteps = sigmas.map((sigma) => roundHalfEven(timestepOf(trained, sigma)));
  } else {
    timesteps = solverTimesteps(options);
    sigmas = timesteps.map((t) => sigmaAt(trained, t));
  }
  return { timesteps, sigmas: [...sigmas.map(Math.fround), 0], initNoiseSigma: 1 };
}

/**
 * DPM-Solver++(2M), midpoint. Lu et al. 2022, arXiv:2211.01095, algorithm 2; first order in the first step and in the last, whose
 * end has no noise.
 */
export async function* dpmpp2m(run: SamplingRun): AsyncGenerator<SamplerStep, void, undefined> {
  const { denoise, schedule } = run;
  const { timesteps, sigmas = [] } = dpmpp2mPlan(run);
  const last = timesteps.length - 1;
  let x = run.latents;
  if (run.start) {
    const { alpha, sigma } = level(sigmas[run.start.step]!);
    x = noisy(run.start, x, alpha, sigma);
  }
  let before: { readonly x0: Float32Array; readonly h: number } | undefined;
  for (const [step, t] of stepsFrom(timesteps, run.start)) {
    const from = level(sigmas[step]!);
    const to = level(sigmas[step + 1]!);
    const output = await denoise(x, t);
    const x0 = x.map((value, i) =>
      schedule.config.predictionType === 'v_prediction'
        ? from.alpha * value - from.sigma * output[i]!
        : (value - from.sigma * output[i]!) / from.alpha,
    );
    const h = to.lambda - from.lambda;
    const phi = to.alpha * Math.expm1(-h);
    const shrink = to.sigma / from.sigma;
    if (before === undefined || step === last) {
      x = x.map((value, i) => shrink * value - phi * x0[i]!);
    } else {
      const r = before.h / h;
      const previous = before.x0;
      x = x.map((value, i) => {
        const d = x0[i]! + (x0[i]! - previous[i]!) / (2 * r);
        return shrink * value - phi * d;
      });
    }
    before = { x0, h };
    yield { step, timestep: t, latents: x };
  }
}

/** α, σ with α² + σ² = 1 and λ = log(α / σ) at a noise level σ/α; λ is infinite without noise. */
function level(ratio: number) {
  const alpha = 1 / Math.sqrt(ratio ** 2 + 1);
  return { alpha, sigma: ratio * alpha, lambda: -Math.log(ratio) };
}
