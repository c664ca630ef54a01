import { noiseSchedule, stableDiffusionSchedule } from '@sdft/models';
import { type Models, tracedSchedule } from '@sdft/pipeline';
import { hostArray, type HostArray, reference, trace, type Tensor } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import {
  denoise,
  type DenoiseOptions,
  type Needs,
  type Objective,
  withPrior,
} from '../../src/index.ts';
import { json, pathOf } from '../support/fixtures.ts';

interface Fixture {
  shape: [number, number, number, number];
  timesteps: number[];
  latents: number[];
  noise: number[];
  offset_noise: number[];
  predicted: number[];
  weight: number[];
  cases: {
    prediction: 'epsilon' | 'v_prediction';
    settings: DenoiseOptions & { weight?: boolean; instances?: number };
    noisy: number[];
    losses: number[];
  }[];
}
const fixture = json<Fixture>(pathOf('fixtures/objectives/denoise.json'));
const [size, channels, height, width] = fixture.shape;
const f32 = (values: readonly number[], shape: readonly number[]) =>
  hostArray(Float32Array.from(values), shape) as HostArray;

/** What an objective says of given latents, draws and a given prediction. */
async function evaluate(
  objective: Objective<Needs>,
  prediction: 'epsilon' | 'v_prediction',
  { weighed = false, instances = size, zeroSnr = false, timesteps = fixture.timesteps } = {},
) {
  const drawn = new Set<string>();
  const graph = trace((t) => {
    const draw = (name: string, shape: readonly number[], dtype: 'f32' | 'i32' = 'f32'): Tensor => {
      drawn.add(name);
      return t.input(name, shape, dtype);
    };
    let noisy: Tensor | undefined;
    const models: Models = {
      unet: (sample) => {
        noisy = sample;
        return t.input('predicted', fixture.shape);
      },
      schedule: tracedSchedule(
        t,
        noiseSchedule({
          ...stableDiffusionSchedule,
          predictionType: prediction,
          rescaleBetasZeroSnr: zeroSnr,
        }),
      ),
    };
    const losses = objective(
      models,
      {
        size,
        instances,
        latents: t.input('latents', fixture.shape),
        context: t.constant(0).broadcastTo([size, 1, 1]),
        ...(weighed && { weight: t.input('weight', [size, 1, height, width]) }),
        pixels: () => t.input('pixel_values', [size, 3, 8 * height, 8 * width]),
      },
      {
        normal: (name, shape) => draw(name, shape),
        uniform: (name, shape) => draw(name, shape),
        integers: (name, shape) => draw(name, shape, 'i32'),
      },
    );
    return { outputs: { losses, noisy: noisy! } };
  });
  const inputs: Record<string, HostArray> = {
    latents: f32(fixture.latents, fixture.shape),
    predicted: f32(fixture.predicted, fixture.shape),
    noise: f32(fixture.noise, fixture.shape),
    offset_noise: f32(fixture.offset_noise, [size, channels, 1, 1]),
    timesteps: hostArray(Int32Array.from(timesteps), [size]) as HostArray,
    weight: f32(fixture.weight, [size, 1, height, width]),
  };
  const executable = await reference.compile(graph);
  const used = Object.entries(inputs).filter(
    ([name]) =>
      ['latents', 'predicted'].includes(name) || drawn.has(name) || (weighed && name === 'weight'),
  );
  const { losses, noisy } = await executable.run(Object.fromEntries(used));
  return { losses: losses!, noisy: noisy!, drawn };
}

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
      const last = { zeroSnr: true, timesteps: [999, 999, 999, 999] };
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
