import { UserError } from '@sdft/tensor';
import { alphaAt, transfer } from './prediction.ts';
import {
  checkSteps,
  refuseKarras,
  type SamplerStep,
  type SamplingOptions,
  type SamplingPlan,
  type SamplingRun,
} from './sampler.ts';
import { spacedTimesteps } from './timesteps.ts';

/**
 * The second timestep comes twice: steps + 1 calls (one step: one call).
 * @throws UserError where the options do not fit
 */
export function plmsPlan(options: SamplingOptions): SamplingPlan {
  checkSteps(options);
  refuseKarras('plms', options);
  const timesteps = spacedTimesteps(options);
  return { timesteps: [...timesteps.slice(0, 2), ...timesteps.slice(1)], initNoiseSigma: 1 };
}

// Adams-Bashforth weights of the newest output, the one before, and so on.
const weights: readonly (readonly number[])[] = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/**
 * Pseudo linear multistep: PNDM without its Runge-Kutta start. Liu et al. 2022, arXiv:2202.09778, section 3.3 and algorithm 2; the first step is
 * taken twice, the second time with the mean of the outputs at both its ends (improved Euler), as diffusers' `skip_prk_steps`.
 */
export async function* plms(run: SamplingRun): AsyncGenerator<SamplerStep, void, undefined> {
  const { denoise, schedule, steps } = run;
  const { timesteps } = plmsPlan(run);
  if (run.start)
    throw new UserError(
      'sampler plms begins with two steps that are one, and cannot begin in the middle: take ddim, euler, euler-a or dpmpp-2m to start from a picture.',
    );
  const stride = Math.floor(schedule.length / steps);
  const advance = (
    x: Float32Array,
    outputs: readonly Float32Array[],
    by: readonly number[],
    t: number,
  ) => {
    const combined = x.map((_, i) =>
      by.reduce((sum, weight, k) => sum + weight * outputs[k]![i]!, 0),
    );
    return transfer(schedule, x, combined, alphaAt(schedule, t), alphaAt(schedule, t - stride));
  };

  let x = run.latents;
  let outputs: Float32Array[] = [];
  for (const [step, t] of timesteps.entries()) {
    const output = await denoise(x, t);
    if (step === 1) {
      x = advance(run.latents, [output, outputs[0]!], [1 / 2, 1 / 2], t + stride);
    } else {
      outputs = [output, ...outputs].slice(0, 4);
      x = advance(x, outputs, weights[outputs.length - 1]!, t);
    }
    yield { step, timestep: t, latents: x };
  }
}
