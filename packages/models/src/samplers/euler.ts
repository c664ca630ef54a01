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
import { spacedTimesteps } from './timesteps.ts';

/**
 * Timesteps (fractional for `linspace` and Karras) and noise levels of both Euler samplers.
 * @throws UserError where the options do not fit
 */
export function eulerPlan(options: SamplingOptions): SamplingPlan {
  checkSteps(options);
  const { schedule, steps, spacing = schedule.config.timestepSpacing } = options;
  const trained = trainedSigmas(schedule);
  let timesteps = spacedTimesteps(options, { fractional: true });
  let sigmas = timesteps.map((t) => sigmaAt(trained, t));
  if (options.sigmas === 'karras') {
    sigmas = karrasSigmas(sigmas[0]!, sigmas.at(-1)!, steps);
    timesteps = sigmas.map((sigma) => Math.fround(timestepOf(trained, sigma)));
  }
  sigmas = [...sigmas.map(Math.fround), 0];
  const max = Math.max(...sigmas);
  const square = Math.fround(max * max);
  return {
    timesteps,
    sigmas,
    // The first timestep of `leading` is not the noisiest one, so that signal is missing: variance 1 is added for it.
    initNoiseSigma: spacing === 'leading' ? Math.fround(Math.sqrt(Math.fround(square + 1))) : max,
  };
}

/** Latents as the U-Net wants them: variance 1. Karras et al. 2022, table 1, c_in. */
export function scaledInput(x: Float32Array, sigma: number): Float32Array {
  const scale = Math.sqrt(sigma ** 2 + 1);
  return x.map((value) => value / scale);
}

/** dx/dσ = (x − x_0) / σ, from the U-Net's output. Karras et al. 2022, equations 1 and 3 with σ(t) = t; a v prediction is the network of its table 1 (σ_data = 1), negated. */
export function derivative(
  { config }: SamplingOptions['schedule'],
  x: Float32Array,
  output: Float32Array,
  sigma: number,
): Float32Array {
  // For an epsilon prediction x_0 = x − σ ε, so that the derivative is ε.
  if (config.predictionType === 'epsilon') return output;
  const variance = sigma ** 2 + 1;
  return x.map((value, i) => {
    const x0 = value / variance - (output[i]! * sigma) / Math.sqrt(variance);
    return (value - x0) / sigma;
  });
}

/** Euler steps along the probability flow. Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn. */
export async function* euler(run: SamplingRun): AsyncGenerator<SamplerStep, void, undefined> {
  const { denoise, schedule } = run;
  const { timesteps, sigmas = [], initNoiseSigma } = eulerPlan(run);
  let x = run.start
    ? noisy(run.start, run.latents, 1, sigmas[run.start.step]!)
    : run.latents.map((value) => value * initNoiseSigma);
  for (const [step, t] of stepsFrom(timesteps, run.start)) {
    const [sigma, next] = [sigmas[step]!, sigmas[step + 1]!];
    const output = await denoise(scaledInput(x, sigma), t);
    const d = derivative(schedule, x, output, sigma);
    x = x.map((value, i) => value + d[i]! * (next - sigma));
    yield { step, timestep: t, latents: x };
  }
}
