import { concat, trace, UserError } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { parseVaeConfig } from '../../src/checkpoint/configFile.ts';
import { Scope } from '../../src/scope.ts';
import { vaeDecode, vaeEncode } from '../../src/vae/vae.ts';
import {
  backends,
  configIn,
  evaluate,
  expectClose,
  given,
  json,
  numbersOf,
  open,
  own,
  weightsIn,
} from './harness.ts';

const goldens = 'fixtures/goldens';
const tiny = {
  config: parseVaeConfig(json(`${goldens}/tiny-sd/vae/config.json`), 'tiny-sd'),
  weights: weightsIn(open(`${goldens}/tiny-sd/vae/diffusion_pytorch_model.safetensors`), 'vae'),
  results: open(`${goldens}/forward/tiny-sd.vae.safetensors`),
};

describe.each(backends)('on $name', (backend) => {
  test('agrees with diffusers on SD1, encoding', async () => {
    const { config, weights, results } = tiny;
    const inputs = { square: given(results, 'images'), wide: given(results, 'images_wide') };
    const out = await evaluate(backend, weights, inputs, (input, tracer) => {
      const scope = new Scope(tracer, 'vae');
      const [square, wide] = [
        vaeEncode(scope, config, input.square),
        vaeEncode(scope, config, input.wide),
      ];
      return {
        mean: square.mean,
        logvar: square.logvar,
        moments_wide: concat([wide.mean, wide.logvar], 1),
      };
    });
    expect(Object.keys(out).length).toBe(3);
    for (const key of Object.keys(out)) expectClose(out[key], numbersOf(results, key), key);
  });

  test('agrees with diffusers on SD1, decoding', async () => {
    const { config, weights, results } = tiny;
    const { pixels } = await evaluate(
      backend,
      weights,
      { z: given(results, 'z') },
      (input, tracer) => ({ pixels: vaeDecode(new Scope(tracer, 'vae'), config, input.z) }),
    );
    expectClose(pixels, numbersOf(results, 'decoded'), 'decoded');
  });

  test.each(['plain-vae', 'no-attention-vae'])(
    'agrees with diffusers on other configurations, odd sizes and at the bounds of the variance: %s',
    async (name) => {
      const fixture = open(`fixtures/networks/${name}.safetensors`);
      const config = parseVaeConfig(configIn(fixture), name);
      const inputs = { pixels: given(fixture, 'in.pixels'), latents: given(fixture, 'in.latents') };
      const weights = weightsIn(fixture, 'vae', 'weight.');
      const out = await evaluate(backend, weights, inputs, (input, tracer) => {
        const scope = new Scope(tracer, 'vae');
        const { mean, logvar } = vaeEncode(scope, config, input.pixels);
        return { mean, logvar, pixels: vaeDecode(scope, config, input.latents) };
      });
      expect([Math.min(...out['logvar']!), Math.max(...out['logvar']!)]).toEqual([-30, 20]);
      for (const key of ['mean', 'logvar', 'pixels'])
        expectClose(out[key], numbersOf(fixture, `out.${key}`), `${name} ${key}`, own(backend));
    },
  );
});

test('refuses other channels than the configuration has', () => {
  const attempt = (shape: number[], network: (scope: Scope, shape: number[]) => unknown) => () =>
    trace((tracer) => {
      network(new Scope(tracer, 'vae'), shape);
      return { outputs: {} };
    });
  const encode = attempt([1, 4, 64, 64], (scope, shape) =>
    vaeEncode(scope, tiny.config, scope.tracer.input('pixels', shape)),
  );
  const decode = attempt([3, 8, 8], (scope, shape) =>
    vaeDecode(scope, tiny.config, scope.tracer.input('latents', shape)),
  );
  expect(encode).toThrow(UserError);
  expect(encode).toThrow('pixels must be [B, 3, height, width], got [1, 4, 64, 64]');
  expect(decode).toThrow('latents must be [B, 4, height, width], got [3, 8, 8]');
});
