import { describe, expect, it } from 'vitest';
import {
  denoise,
  type DenoiseOptions,
  type Needs,
  type Objective,
  withPrior,
} from '../../src/index.ts';
import { json, pathOf } from '../support/fixtures.ts';
import { evaluate as evaluateOn, type Prediction } from './evaluate.ts';

interface Fixture {
  shape: [number, number, number, number];
  timesteps: number[];
  latents: number[];
  noise: number[];
  offset_noise: number[];
  predicted: number[];
  weight: number[];
  cases: {
    prediction: Prediction;
    settings: DenoiseOptions & { weight?: boolean; instances?: number };
    noisy: number[];
    losses: number[];
  }[];
}
const fixture = json<Fixture>(pathOf('fixtures/objectives/denoise.json'));
const [size] = fixture.shape;

/** What an objective says of the fixture's latents, draws and prediction. */
const evaluate = (
  objective: Objective<Needs>,
  prediction: Prediction,
  {
    weighed = false,
    ...other
  }: {
    weighed?: boolean;
    instances?: number;
    zeroTerminalSnr?: boolean;
    timesteps?: number[];
  } = {},
) => {
  const { shape, latents, predicted, timesteps, noise, offset_noise, weight } = fixture;
  return evaluateOn(objective, {
    ...{ shape, latents, predicted, timesteps, prediction },
    draws: { noise, offset_noise },
    ...(weighed && { weight }),
    ...other,
  });
};

describe('denoise', () => {
  it.each(fixture.cases)(
    'for $prediction with $settings is what diffusers computes',
    async ({ prediction, settings: { weight, instances, ...options }, noisy, losses }) => {
      const result = await evaluate(denoise(options), prediction, {
        weighed: weight ?? false,
        instances: instances ?? size,
      });
      noisy.forEach((value, i) => expect(result.noisy.data[i]!).toBeCloseTo(value, 5));
      losses.forEach((value, i) => expect(result.losses.data[i]! / value).toBeCloseTo(1, 5));
      expect(result.losses.shape).toEqual([size]);
      expect(result.drawn.has('offset_noise')).toBe(options.noiseOffset !== undefined);
    },
  );

  it.each(['snr+1', 'snr', 'plus-1'] as const)(
    'weighs timesteps without any signal by finite numbers (%s)',
    async (snrWeightForV) => {
      const last = { zeroTerminalSnr: true, timesteps: [999, 999, 999, 999] };
      const objective = denoise({ snrGamma: 5, snrWeightForV });
      const { losses } = await evaluate(objective, 'v_prediction', last);
      expect([...losses.data].every(Number.isFinite)).toBe(true);
    },
  );

  it('says its settings as a recipe does', () => {
    expect(denoise().recipe).toEqual({ name: 'denoise' });
    expect(denoise({ snrGamma: 5, noiseOffset: 0.1 }).recipe).toEqual({
      name: 'denoise',
      snrGamma: 5,
      noiseOffset: 0.1,
    });
    expect(() => denoise({ noiseOffset: Number.NaN })).toThrow(/noiseOffset must be a number/);
  });
});

describe('with prior preservation', () => {
  it('the losses of instances and class are averaged apart, and added', async () => {
    const own = await evaluate(denoise(), 'epsilon');
    const [a, b, c, d] = [...own.losses.data];
    const prior = await evaluate(withPrior(denoise(), { weight: 0.5 }), 'epsilon', {
      instances: 2,
    });
    expect(prior.losses.shape).toEqual([]);
    expect(prior.losses.data[0]!).toBeCloseTo((a! + b!) / 2 + (0.5 * (c! + d!)) / 2, 6);
  });

  it('needs pictures of the class', async () => {
    await expect(evaluate(withPrior(denoise()), 'epsilon')).rejects.toThrow(
      /needs the loss of each of 4 samples, 0 of them of the class/,
    );
    expect(withPrior(denoise()).needs).toBe('class');
    expect(withPrior(denoise({ snrGamma: 5 })).recipe).toEqual({
      name: 'with-prior',
      weight: 1,
      of: { name: 'denoise', snrGamma: 5 },
    });
    expect(() => withPrior(denoise(), { weight: -1 })).toThrow(
      /the weight must be a number, 0 or more/,
    );
  });
});
