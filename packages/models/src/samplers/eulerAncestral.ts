import { UserError } from '@sdft/tensor';
import { derivative, eulerPlan, scaledInput } from './euler.ts';
import { noisy, type SamplerStep, type SamplingRun, stepsFrom } from './sampler.ts';

/**
 * Euler steps to below the next noise level, then fresh noise up to it; the plan is Euler's. Source: k-diffusion `sample_euler_ancestral`
 * with the variance of ancestral sampling (Ho et al. 2020, arXiv:2006.11239, equation 7; η = 1).
 * @throws UserError where `draw` is missing or gives noise of another size
 */
export async function* eulerAncestral(
  run: SamplingRun,
): AsyncGenerator<SamplerStep, void, undefined> {
  const { denoise, schedule, draw } = run;
  if (draw === undefined)
    throw new UserError('sampler euler-a: needs noise for its steps; pass `draw`.');
  const { timesteps, sigmas = [], initNoiseSigma } = eulerPlan(run);
  let x = run.start
    ? noisy(run.start, run.latents, 1, sigmas[run.start.step]!)
    : run.latents.map((value) => value * initNoiseSigma);
  for (const [step, t] of stepsFrom(timesteps, run.start)) {
    const [sigma, next] = [sigmas[step]!, sigmas[step + 1]!];
    const up = Math.sqrt((next ** 2 * (sigma ** 2 - next ** 2)) / sigma ** 2);
    const down = Math.sqrt(next ** 2 - up ** 2);
    const output = await denoise(scaledInput(x, sigma), t);
    const d = derivative(schedule, x, output, sigma);
    const noise = up > 0 ? draw(step) : undefined;
    if (noise !== undefined && noise.length !== x.length) {
      throw new UserError(
        `sampler euler-a: the noise of step ${step} has ${noise.length} values, the latents ${x.length}.`,
      );
    }
    x = x.map((value, i) => value + d[i]! * (down - sigma) + (noise?.[i] ?? 0) * up);
    yield { step, timestep: t, latents: x };
  }
}
