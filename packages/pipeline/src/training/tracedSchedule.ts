import type { NoiseSchedule } from '@sdft/models';
import type { Tensor, Tracer } from '@sdft/tensor';
import type { Schedule } from '../contracts.ts';

/** The noise schedule's tables as constants of the graph, read by timestep. */
export function tracedSchedule(tracer: Tracer, noise: NoiseSchedule): Schedule {
  const { config, alphasCumprod, sqrtAlphasCumprod, sqrtOneMinusAlphasCumprod } = noise;
  const table = (values: Float64Array) => tracer.constant([...values]);
  const column = (values: Float64Array, t: Tensor) =>
    table(values).gather(t).reshape([t.size, 1, 1, 1]);
  const addNoise: Schedule['addNoise'] = (x0, epsilon, t) =>
    column(sqrtAlphasCumprod, t).mul(x0).add(column(sqrtOneMinusAlphasCumprod, t).mul(epsilon));
  return {
    config,
    addNoise,
    target: (x0, epsilon, t) =>
      config.predictionType === 'epsilon'
        ? epsilon
        : column(sqrtAlphasCumprod, t)
            .mul(epsilon)
            .sub(column(sqrtOneMinusAlphasCumprod, t).mul(x0)),
    snr: (t) => table(alphasCumprod.map((alpha) => alpha / (1 - alpha))).gather(t),
  };
}
