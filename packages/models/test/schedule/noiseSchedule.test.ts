import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { UserError } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { type ScheduleConfig, stableDiffusionSchedule } from '../../src/config.ts';
import { diffusionCoefficients, noiseSchedule, snr } from '../../src/schedule/noiseSchedule.ts';

interface Fixture {
  x0: number[];
  epsilon: number[];
  alphas_cumprod_f64: number[];
  schedules: Record<
    string,
    {
      config: Record<string, string | number | boolean>;
      betas_sha256: string;
      alphas_cumprod_sha256: string;
      t: number[];
      alphas_cumprod: number[];
      x_t: number[][];
      v: number[][];
      snr: number[];
    }
  >;
}
const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../../../../fixtures/schedule/schedule.json', import.meta.url), 'utf8'),
);

const configOf = (config: Fixture['schedules'][string]['config']): ScheduleConfig => ({
  ...stableDiffusionSchedule,
  betaStart: Number(config.beta_start),
  betaEnd: Number(config.beta_end),
  betaSchedule: config.beta_schedule === 'linear' ? 'linear' : 'scaled_linear',
  predictionType: config.prediction_type === 'v_prediction' ? 'v_prediction' : 'epsilon',
  numTrainTimesteps: Number(config.num_train_timesteps ?? 1000),
  rescaleBetasZeroSnr: config.rescale_betas_zero_snr === true,
});
const sha256 = (values: Float64Array) =>
  createHash('sha256')
    .update(new Uint8Array(Float32Array.from(values).buffer))
    .digest('hex');
const sd1 = noiseSchedule(stableDiffusionSchedule);

const expectRelative = (value: number, expected: number, tolerance: number) => {
  expect(Math.abs(value - expected)).toBeLessThanOrEqual(tolerance * Math.abs(expected));
};

describe.each(Object.entries(fixture.schedules))('schedule %s', (_, expected) => {
  const schedule = noiseSchedule(configOf(expected.config));

  it("has diffusers' float32 values", () => {
    for (const [k, t] of expected.t.entries()) {
      expectRelative(schedule.alphasCumprod[t]!, expected.alphas_cumprod[k]!, 1e-6);
    }
    // Bit for bit, but for the square roots of the rescaled one, which torch takes through MKL: some are rounded the other way.
    if (schedule.config.rescaleBetasZeroSnr) return;
    expect(sha256(schedule.betas)).toBe(expected.betas_sha256);
    expect(sha256(schedule.alphasCumprod)).toBe(expected.alphas_cumprod_sha256);
  });

  it('adds noise, makes targets and weighs as diffusers does', () => {
    const at = diffusionCoefficients(schedule, expected.t);
    const velocity = diffusionCoefficients(
      { ...schedule, config: { ...schedule.config, predictionType: 'v_prediction' } },
      expected.t,
    );
    for (const [k, t] of expected.t.entries()) {
      for (const [i, x0] of fixture.x0.entries()) {
        const epsilon = fixture.epsilon[i]!;
        const xt = at.sqrtAlphasCumprod[k]! * x0 + at.sqrtOneMinusAlphasCumprod[k]! * epsilon;
        const v = velocity.targetNoise[k]! * epsilon + velocity.targetSample[k]! * x0;
        expect(xt).toBeCloseTo(expected.x_t[k]![i]!, 6);
        expect(v).toBeCloseTo(expected.v[k]![i]!, 6);
      }
      // diffusers squares a quotient of square roots, in float32.
      expectRelative(snr(schedule, t), expected.snr[k]!, 1e-6);
      expect(at.snr[k]).toBe(Math.fround(snr(schedule, t)));
    }
  });
});

describe('noiseSchedule', () => {
  it('can be in double precision', () => {
    const { alphasCumprod } = noiseSchedule(stableDiffusionSchedule, { precision: 'f64' });
    for (const [k, t] of fixture.schedules.sd1!.t.entries()) {
      expect(Math.abs(alphasCumprod[t]! / fixture.alphas_cumprod_f64[k]! - 1)).toBeLessThan(1e-12);
    }
    const apart = Math.max(
      ...alphasCumprod.map((alpha, t) => Math.abs(alpha - sd1.alphasCumprod[t]!)),
    );
    expect(apart).toBeGreaterThan(1e-9);
    expect(apart).toBeLessThan(1e-6);
  });

  it('ends without signal where it is rescaled, and begins as before', () => {
    for (const precision of ['f32', 'f64'] as const) {
      const config = { ...stableDiffusionSchedule, rescaleBetasZeroSnr: true };
      const { alphasCumprod } = noiseSchedule(config, { precision });
      expect(alphasCumprod[999]).toBe(0);
      expect(alphasCumprod[0]).toBeCloseTo(sd1.alphasCumprod[0]!, 6);
    }
  });

  it('gives an epsilon target that is the noise alone', () => {
    const { targetNoise, targetSample } = diffusionCoefficients(sd1, [0, 999]);
    expect([...targetNoise, ...targetSample]).toEqual([1, 1, 0, 0]);
  });

  it.each([-1, 1000, 0.5, Number.NaN])('refuses timestep %d', (t) => {
    expect(() => diffusionCoefficients(sd1, [3, t])).toThrow(UserError);
  });

  it.each([
    { betaStart: 0 },
    { betaEnd: 1 },
    { betaEnd: Number.NaN },
    { numTrainTimesteps: 0 },
    { numTrainTimesteps: 10.5 },
  ])('refuses %o', (wrong) => {
    expect(() => noiseSchedule({ ...stableDiffusionSchedule, ...wrong })).toThrow(UserError);
  });
});
