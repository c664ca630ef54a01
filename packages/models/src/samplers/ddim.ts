import { alphaAt, transfer } from './prediction.ts';
import {
  checkSteps,
  noisy,
  refuseKarras,
  type SamplerStep,
  type SamplingOptions,
  type SamplingPlan,
  type SamplingRun,
  stepsFrom,
} from './sampler.ts';
import { spacedTimesteps } from './timesteps.ts';

/** @throws UserError where the options do not fit */
export function ddimPlan(options: SamplingOptions): SamplingPlan {
  checkSteps(options);
  refuseKarras('ddim', options);
  return { timesteps: spacedTimesteps(options), initNoiseSigma: 1 };
}

/**
 * DDIM without noise (η = 0). Song et al. 2021, arXiv:2010.02502, equation 12.
 * As in diffusers, each step goes ⌊T/steps⌋ timesteps down whatever the spacing.
 */
export async function* ddim(run: SamplingRun): AsyncGenerator<SamplerStep, void, undefined> {
  const { denoise, schedule, steps } = run;
  const { timesteps } = ddimPlan(run);
  const stride = Math.floor(schedule.length / steps);
  let x = run.latents;
  if (run.start) {
    const alpha = alphaAt(schedule, timesteps[run.start.step]!);
    x = noisy(run.start, x, Math.sqrt(alpha), Math.sqrt(1 - alpha));
  }
  for (const [step, t] of stepsFrom(timesteps, run.start)) {
    const output = await denoise(x, t);
    x = transfer(schedule, x, output, alphaAt(schedule, t), alphaAt(schedule, t - stride));
    yield { step, timestep: t, latents: x };
  }
}
