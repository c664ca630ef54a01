import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { UserError } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { type ScheduleConfig, stableDiffusionSchedule } from '../../src/config.ts';
import { guide } from '../../src/samplers/guidance.ts';
import type {
  Denoise,
  SamplerName,
  SamplingOptions,
  TimestepSpacing,
} from '../../src/samplers/sampler.ts';
import { samplerNamed, samplers } from '../../src/samplers/samplers.ts';
import { noiseSchedule } from '../../src/schedule/noiseSchedule.ts';

/** A JSON file below `fixtures/`; Python writes `-Infinity` into some. */
const read = (path: string) => {
  const text = readFileSync(new URL(`../../../../fixtures/${path}`, import.meta.url), 'utf8');
  return JSON.parse(text.replaceAll('-Infinity', 'null'));
};

type DiffusersConfig = Record<string, string | number | boolean>;
interface Trajectory {
  sampler: SamplerName;
  steps: number;
  config: DiffusersConfig;
  timesteps: number[];
  init_noise_sigma: number;
  sigmas?: number[];
  states: Record<string, number[]>;
}
const { latents, cases }: { latents: number[]; cases: Trajectory[] } = read(
  'samplers/trajectories.json',
);

const scheduleOf = (config: DiffusersConfig): ScheduleConfig => ({
  ...stableDiffusionSchedule,
  betaStart: Number(config.beta_start ?? stableDiffusionSchedule.betaStart),
  betaEnd: Number(config.beta_end ?? stableDiffusionSchedule.betaEnd),
  betaSchedule: config.beta_schedule === 'linear' ? 'linear' : 'scaled_linear',
  numTrainTimesteps: Number(config.num_train_timesteps ?? 1000),
  stepsOffset: Number(config.steps_offset ?? 1),
  setAlphaToOne: config.set_alpha_to_one === true,
  predictionType: config.prediction_type === 'v_prediction' ? 'v_prediction' : 'epsilon',
  rescaleBetasZeroSnr: config.rescale_betas_zero_snr === true,
});
const optionsOf = ({ config, steps }: Pick<Trajectory, 'config' | 'steps'>): SamplingOptions => ({
  schedule: noiseSchedule(scheduleOf(config)),
  steps,
  spacing: config.timestep_spacing as TimestepSpacing,
  sigmas: config.use_karras_sigmas === true ? 'karras' : 'normal',
});

/** The stand-in for a U-Net of tools/samplers/make_fixtures.py. */
const toy =
  (prediction: ScheduleConfig['predictionType']): Denoise =>
  async (x, t) => {
    const alpha = Math.cos(0.0015 * t) ** 2;
    return x.map((value) =>
      prediction === 'epsilon'
        ? (value * Math.sqrt(1 - alpha + 1e-4)) / (0.25 * alpha + 1 - alpha) +
          0.1 * Math.sin(3 * value + t / 50)
        : (value * t) / 1500 - 0.2 * Math.sin(2 * value + t / 70),
    );
  };
const noise = (step: number) =>
  Float32Array.from(latents, (_, i) => Math.cos(7 * step + i * i) * 1.3);

const run = async (
  name: SamplerName,
  options: SamplingOptions,
  denoise = toy(options.schedule.config.predictionType),
) => {
  const states = [];
  const start = Float32Array.from(latents);
  for await (const state of samplers[name].sample({
    ...options,
    denoise,
    latents: start,
    draw: noise,
  }))
    states.push(state);
  expect([...start]).toEqual(latents.map(Math.fround));
  return states;
};

/** Equal to units in the last place of float32: torch takes square roots through MKL, which rounds some of them the other way. */
const expectUlps = (value: number, expected: number, ulps = 2) => {
  expect(Math.abs(value - expected)).toBeLessThanOrEqual(ulps * 2 ** -23 * Math.abs(expected));
};

describe('trajectories on a toy denoiser', () => {
  it.each(
    cases.map(
      (each) =>
        [`${each.sampler}, ${each.steps} steps, ${JSON.stringify(each.config)}`, each] as const,
    ),
  )('are those of diffusers: %s', async (_, expected) => {
    const options = optionsOf(expected);
    const plan = samplers[expected.sampler].plan(options);
    expect(plan.timesteps).toHaveLength(expected.timesteps.length);
    // Karras timesteps go through float32 logarithms, whose last digit NumPy and JavaScript may round apart.
    const slack = options.sigmas === 'karras' ? 2e-4 : 0;
    for (const [i, t] of expected.timesteps.entries()) {
      expect(Math.abs(plan.timesteps[i]! - Math.fround(t))).toBeLessThanOrEqual(slack);
    }
    expect(plan.sigmas?.length).toBe(expected.sigmas?.length);
    // Rescaled betas come from two such roots.
    const ulps = options.schedule.config.rescaleBetasZeroSnr ? 8 : 2;
    expected.sigmas?.forEach((sigma, i) => expectUlps(plan.sigmas![i]!, sigma, ulps));
    expectUlps(plan.initNoiseSigma, expected.init_noise_sigma, ulps);

    // From pure noise Euler starts at sigma 4096 and is at 18 after a step: the rounding of the float32 start grows by that much.
    const tolerance = plan.initNoiseSigma > 1000 ? 5e-5 : 1e-5;
    const states = await run(expected.sampler, options);
    expect(states.map(({ timestep }) => timestep)).toEqual(plan.timesteps);
    expect(states.map(({ step }) => step)).toEqual(states.map((__, i) => i));
    for (const [step, values] of Object.entries(expected.states)) {
      const rms = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
      const error = Math.max(
        ...values.map((x, i) => Math.abs(x - states[Number(step)]!.latents[i]!)),
      );
      expect(error / rms, `after step ${step}`).toBeLessThanOrEqual(tolerance);
    }
  });
});

describe('plans', () => {
  it.each(
    (
      read('samplers/timesteps.json') as {
        cases: {
          sampler: SamplerName;
          spacing: TimestepSpacing;
          left_out: number[];
          sha256: string;
        }[];
      }
    ).cases,
  )(
    'visit the timesteps of diffusers for every number of steps: $sampler, $spacing',
    ({ sampler, spacing, left_out, sha256 }) => {
      const schedule = noiseSchedule(stableDiffusionSchedule);
      const hash = createHash('sha256');
      for (let steps = 1; steps <= 1000; steps++) {
        if (left_out.includes(steps)) {
          if (spacing === 'trailing') {
            // diffusers takes one step too many here, at timestep -1.
            const { timesteps } = samplers[sampler].plan({ schedule, steps, spacing });
            expect([timesteps.length, timesteps.at(-1)! >= 0]).toEqual([steps, true]);
          } else {
            expect(() => samplers[sampler].plan({ schedule, steps, spacing })).toThrow(UserError);
          }
          continue;
        }
        const { timesteps } = samplers[sampler].plan({ schedule, steps, spacing });
        hash.update(new Uint8Array(Float64Array.from(timesteps).buffer));
      }
      expect(hash.digest('hex')).toBe(sha256);
    },
  );

  it('have the settings of the goldens', () => {
    const settings = read('goldens/forward/tiny-sd.sampling.json') as Record<
      string,
      { init_noise_sigma: number; config: DiffusersConfig }
    >;
    const vectors = vectorsOf('goldens/forward/tiny-sd.sampling.safetensors');
    const names: Record<string, SamplerName> = { ddim: 'ddim', pndm: 'plms' };
    for (const [golden, { init_noise_sigma, config }] of Object.entries(settings)) {
      const name = names[golden] ?? (golden.startsWith('euler') ? 'euler' : 'dpmpp-2m');
      const plan = samplers[name].plan(optionsOf({ config, steps: 10 }));
      const timesteps = vectors(`${golden}.timesteps`)!;
      expect(plan.timesteps).toHaveLength(timesteps.length);
      timesteps.forEach((t, i) => {
        expect(Math.abs(plan.timesteps[i]! - t), `${golden} ${t}`).toBeLessThanOrEqual(
          golden === 'euler_karras' ? 2e-4 : 0,
        );
      });
      const sigmas = vectors(`${golden}.sigmas`);
      if (plan.sigmas === undefined) expect(['ddim', 'pndm']).toContain(golden);
      else sigmas!.forEach((sigma, i) => expectUlps(plan.sigmas![i]!, sigma));
      expectUlps(plan.initNoiseSigma, init_noise_sigma);
    }
  });

  it('follow the checkpoint where no spacing is asked for', () => {
    const schedule = noiseSchedule({ ...stableDiffusionSchedule, timestepSpacing: 'trailing' });
    for (const sampler of Object.values(samplers)) {
      expect(sampler.plan({ schedule, steps: 4 }).timesteps[0]).toBe(999);
    }
  });
});

/** Float64 vectors of a safetensors file. */
function vectorsOf(path: string): (name: string) => number[] | undefined {
  const bytes = readFileSync(new URL(`../../../../fixtures/${path}`, import.meta.url));
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + size)) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  return (name) => {
    const entry = header[name];
    if (entry === undefined) return undefined;
    expect(entry.dtype).toBe('F64');
    const [from, to] = entry.data_offsets;
    return Array.from({ length: (to - from) / 8 }, (_, i) =>
      bytes.readDoubleLE(8 + size + from + 8 * i),
    );
  };
}

describe('what cannot be sampled', () => {
  const schedule = noiseSchedule(stableDiffusionSchedule);
  const everySampler = Object.values(samplers);

  it.each([0, -1, 1001, 2.5, Number.NaN, Number.POSITIVE_INFINITY])('%d steps', async (steps) => {
    for (const sampler of everySampler) {
      expect(() => sampler.plan({ schedule, steps })).toThrow(UserError);
      expect(() => sampler.plan({ schedule, steps })).toThrow(/whole number from 1 to 1000/);
      await expect(run(sampler.name, { schedule, steps })).rejects.toThrow(UserError);
    }
  });

  it('Karras noise levels without noise levels', () => {
    for (const name of ['ddim', 'plms'] as const) {
      expect(() => samplers[name].plan({ schedule, steps: 5, sigmas: 'karras' })).toThrow(
        /has no noise levels/,
      );
    }
  });

  it('an epsilon prediction of pure noise', async () => {
    const pure = noiseSchedule({ ...stableDiffusionSchedule, rescaleBetasZeroSnr: true });
    for (const name of ['ddim', 'plms'] as const) {
      await expect(run(name, { schedule: pure, steps: 5, spacing: 'trailing' })).rejects.toThrow(
        /Such checkpoints predict v/,
      );
    }
  });

  it('ancestrally, without noise or with noise of another size', async () => {
    const base = {
      schedule,
      steps: 3,
      latents: Float32Array.from(latents),
      denoise: toy('epsilon'),
    };
    const first = (draw?: (step: number) => Float32Array) =>
      samplers['euler-a'].sample({ ...base, draw }).next();
    await expect(first()).rejects.toThrow(/pass `draw`/);
    await expect(first(() => new Float32Array(2))).rejects.toThrow(/has 2 values, the latents 6/);
  });

  it('by an unknown name', () => {
    expect(samplerNamed('dpmpp-2m')).toBe(samplers['dpmpp-2m']);
    expect(() => samplerNamed('heun')).toThrow(/Known: ddim, euler, euler-a, plms, dpmpp-2m/);
    expect(() => samplerNamed('toString')).toThrow(UserError);
  });
});

describe('sampling', () => {
  it('finds the picture where the denoiser knows it', async () => {
    const picture = Float32Array.from(latents, (x) => 0.3 - x);
    const schedule = noiseSchedule(stableDiffusionSchedule);
    for (const { name } of Object.values(samplers)) {
      // Euler's inputs are x / √(σ² + 1) = √ᾱ x_0 + √(1−ᾱ) ε, as those of the others.
      const knows: Denoise = async (x, t) => {
        const alpha = schedule.alphasCumprod[Math.round(t)]!;
        return x.map((value, i) => (value - Math.sqrt(alpha) * picture[i]!) / Math.sqrt(1 - alpha));
      };
      const states = await run(name, { schedule, steps: 20, spacing: 'trailing' }, knows);
      const final = states.at(-1)!.latents;
      // DDIM and PLMS end at ᾱ_0, not at 1: 3 % of the noise stays.
      expect(Math.max(...final.map((x, i) => Math.abs(x - picture[i]!))), name).toBeLessThan(0.1);
    }
  });

  it('calls the U-Net once a step, PLMS once more', async () => {
    const schedule = noiseSchedule(stableDiffusionSchedule);
    for (const { name } of Object.values(samplers)) {
      let calls = 0;
      const states = await run(name, { schedule, steps: 10 }, (x, t) => {
        calls += 1;
        return toy('epsilon')(x, t);
      });
      expect([calls, states.length]).toEqual(name === 'plms' ? [11, 11] : [10, 10]);
    }
  });
});

describe('guide', () => {
  it('goes from the unconditional prediction through the conditional one', () => {
    const [cond, uncond] = [Float32Array.of(1, 2, -1), Float32Array.of(0, 2, 1)];
    expect([...guide(cond, uncond, 7.5)]).toEqual([7.5, 2, -14]);
    expect([...guide(cond, uncond, 1)]).toEqual([...cond]);
    expect([...guide(cond, uncond, 0)]).toEqual([...uncond]);
    expect(() => guide(cond, Float32Array.of(1), 2)).toThrow(/internal/);
  });
});
