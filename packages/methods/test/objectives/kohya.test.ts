/** @file Noise, losses and weights as kohya's trainers and diffusers' DREAM compute them. */
import { describe, expect, it } from 'vitest';
import { denoise, type DenoiseOptions } from '../../src/index.ts';
import { json, pathOf } from '../support/fixtures.ts';
import { evaluate, type Prediction } from './evaluate.ts';

interface Pyramid {
  shape: [number, number, number, number];
  noise: number[];
  iterations: number;
  discount: number;
  sizes: number;
  scales: number[];
  drawn: number[][];
  result: number[];
}
interface Fixture {
  shape: [number, number, number, number];
  timesteps: number[];
  latents: number[];
  noise: number[];
  predicted: number[];
  perturbation: number[];
  pyramids: Pyramid[];
  cases: {
    prediction: Prediction;
    zeroTerminalSnr: boolean;
    settings: DenoiseOptions;
    noisy: number[];
    losses: (number | null)[];
  }[];
}
const fixture = json<Fixture>(pathOf('fixtures/objectives/kohya.json'));
const { shape, latents, predicted, timesteps, noise, perturbation } = fixture;
const given = { shape, latents, predicted, timesteps, draws: { noise, perturbation } };

/** Numbers of the fixture are float32 with eight digits; its losses are means of 120 squares. */
const expectClose = (actual: number, expected: number): void =>
  expect(Math.abs(actual - expected)).toBeLessThan(1e-6 + 3e-6 * Math.abs(expected));

describe('denoise', () => {
  it.each(fixture.cases)(
    'for $prediction (zero terminal SNR: $zeroTerminalSnr) with $settings is what kohya or diffusers computes',
    async ({ prediction, zeroTerminalSnr, settings, noisy, losses }) => {
      const result = await evaluate(denoise(settings), { ...given, prediction, zeroTerminalSnr });
      const row = shape[3];
      noisy.forEach((value, i) => {
        const at = Math.floor(i / row) * (latents.length / shape[0]) + (i % row);
        expectClose(result.noisy.data[at]!, value);
      });
      losses.forEach((value, i) => {
        // Where kohya divides by an SNR of 0, nothing is to be learned.
        expectClose(result.losses.data[i]!, value ?? 0);
      });
      expect(result.drawn.has('perturbation')).toBe(settings.inputPerturbation !== undefined);
    },
  );

  it.each(fixture.pyramids)(
    'adds noise of $sizes sizes of at most $iterations',
    async ({ shape: size, noise: plain, iterations, discount, scales, drawn, result }) => {
      const zeros = plain.map(() => 0);
      // At the last timestep of a schedule with zero terminal SNR the U-Net sees the noise itself.
      const { noisy, losses } = await evaluate(
        denoise({ multiresNoiseIterations: iterations, multiresNoiseDiscount: discount }),
        {
          ...{ shape: size, latents: zeros, predicted: zeros, prediction: 'epsilon' },
          timesteps: Array.from({ length: size[0] }, () => 999),
          zeroTerminalSnr: true,
          draws: {
            noise: plain,
            multires_scale: scales,
            ...Object.fromEntries(drawn.map((values, i) => [`multires_noise.${i}`, values])),
          },
        },
      );
      result.forEach((value, i) => expectClose(noisy.data[i]!, value));
      const squares = result.reduce((sum, value) => sum + value * value, 0) / result.length;
      const mean = [...losses.data].reduce((sum, loss) => sum + loss, 0) / size[0];
      expectClose(mean, squares);
    },
  );

  it.each([
    [{ lossType: 'mse' }, /there is no lossType mse; there are l2, l1, huber, smooth-l1/],
    [{ huberC: 0 }, /huberC must be more than 0/],
    [{ multiresNoiseIterations: 1.5 }, /must be a whole number from 0 to 20, got 1.5/],
    [{ multiresNoiseDiscount: 0 }, /multiresNoiseDiscount must lie between 0 and 1/],
    [{ inputPerturbation: Number.NaN }, /inputPerturbation must be a number/],
    [{ snrGamma: 0 }, /snrGamma must be positive/],
    [{ dreamDetailPreservation: -1 }, /must be a number, 0 or more, got -1/],
  ] as [DenoiseOptions, RegExp][])('refuses %j', (options, message) => {
    expect(() => denoise(options)).toThrow(message);
  });

  it('refuses DREAM for a base that predicts v', async () => {
    await expect(
      evaluate(denoise({ dreamTraining: true }), { ...given, prediction: 'v_prediction' }),
    ).rejects.toThrow(/dreamTraining is for bases that predict noise/);
  });
});
