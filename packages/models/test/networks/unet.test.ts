import { trace, UserError } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { parseUNetConfig } from '../../src/checkpoint/configFile.ts';
import type { UNetConfig } from '../../src/config.ts';
import { Scope } from '../../src/scope.ts';
import { unet } from '../../src/unet/unet.ts';
import {
  backends,
  configIn,
  evaluate,
  expectClose,
  type Given,
  given,
  json,
  numbersOf,
  open,
  own,
  weightsIn,
} from './harness.ts';

type Inputs = Readonly<Record<'sample' | 'timestep' | 'context', Given>> & {
  readonly labels?: Given;
};
const goldens = 'fixtures/goldens';
const tiny = {
  config: parseUNetConfig(json(`${goldens}/tiny-sd/unet/config.json`), 'tiny-sd'),
  weights: weightsIn(open(`${goldens}/tiny-sd/unet/diffusion_pytorch_model.safetensors`), 'unet'),
  results: open(`${goldens}/forward/tiny-sd.unet.safetensors`),
};
const goldenCases = [...tiny.results.tensors.keys()].flatMap((key) => {
  const [, name, time] = /^(.*)\.(t_mixed|t\d+)\.out$/.exec(key) ?? [];
  return name && time ? [[name, time] as const] : [];
});
test('the goldens are all here', () => {
  expect(goldenCases.length).toBe(14);
});

const repeated = (value: number, times: number): Given => ({
  dtype: 'i32',
  shape: [times],
  data: new Float32Array(times).fill(value),
});

describe.each(backends)('on $name', (backend) => {
  const run = async (config: UNetConfig, weights: typeof tiny.weights, inputs: Inputs) =>
    (
      await evaluate<keyof Inputs>(
        backend,
        weights,
        inputs as Required<Inputs>,
        ({ sample, timestep, context, labels }, tracer) => ({
          out: unet(new Scope(tracer, 'unet'), config, {
            sample,
            timestep,
            encoderHiddenStates: context,
            classLabels: labels,
          }),
        }),
      )
    )['out']!;

  // One timestep per shape is enough for the slow interpreter and for software graphics drivers, the mixed ones hold the others; and the largest shape is left to the cpu.
  const told = goldenCases.filter(
    ([name, time]) =>
      backend.name === 'cpu' || (time === 't_mixed' && name !== 'tall24x16') || name === 'long',
  );
  test.each(told)('agrees with diffusers on SD1: %s, %s', async (name, time) => {
    const sample = given(tiny.results, `${name}.x`);
    const out = await run(tiny.config, tiny.weights, {
      sample,
      timestep:
        time === 't_mixed'
          ? given(tiny.results, `${name}.t_mixed`)
          : repeated(Number(time.slice(1)), sample.shape[0]!),
      context: given(tiny.results, name === 'long' ? 'long.ctx' : 'ctx'),
    });
    expectClose(out, numbersOf(tiny.results, `${name}.${time}.out`), `${name}.${time}`);
  });
  test.each([
    ['sd2-unet', 'odd'],
    ['sd2-unet', 'wide'],
    ['uneven-unet', 'square'],
    ['uneven-unet', 'odd'],
    ['upscaler-unet', 'square'],
    ['upscaler-unet', 'odd'],
  ])('agrees with diffusers on other configurations: %s, %s', async (file, name) => {
    const fixture = open(`fixtures/networks/${file}.safetensors`);
    const config = parseUNetConfig(configIn(fixture), file);
    const inputs: Inputs = {
      sample: given(fixture, `in.${name}.sample`),
      timestep: given(fixture, `in.${name}.timestep`),
      context: given(fixture, `in.${name}.context`),
      ...(config.numClassEmbeds !== undefined && {
        labels: given(fixture, `in.${name}.class_labels`),
      }),
    };
    const weights = weightsIn(fixture, 'unet', 'weight.');
    const expected = numbersOf(fixture, `out.${name}`);
    expectClose(await run(config, weights, inputs), expected, `${file} ${name}`, own(backend));
  });

  test('takes timesteps that are not whole as f32', async () => {
    const inputs = {
      sample: given(tiny.results, 'square8.x'),
      context: given(tiny.results, 'ctx'),
    };
    const at = (value: number): Given => ({ ...repeated(value, 3), dtype: 'f32' });
    const [whole, between] = [
      await run(tiny.config, tiny.weights, { ...inputs, timestep: at(500) }),
      await run(tiny.config, tiny.weights, { ...inputs, timestep: at(500.5) }),
    ];
    expectClose(whole, numbersOf(tiny.results, 'square8.t500.out'), 'f32 timestep');
    expect(between).not.toEqual(whole);
  });
});

test.each([
  [[1, 3, 8, 8], [1], [1, 5, 12], /sample must be \[B, 4, h, w\], got \[1, 3, 8, 8\]/],
  [[2, 4, 8, 8], [1], [2, 5, 12], /timestep must be \[2\].*got \[1\]/],
  [[2, 4, 8, 8], [2], [1, 5, 12], /encoderHiddenStates must be \[2, L, 12\], got \[1, 5, 12\]/],
  [[1, 4, 8, 8], [1], [1, 5, 768], /encoderHiddenStates.*got \[1, 5, 768\]/],
])('refuses inputs %j, %j, %j', (sample, timestep, context, message) => {
  const attempt = () =>
    trace((tracer) => ({
      outputs: {
        out: unet(new Scope(tracer, 'unet'), tiny.config, {
          sample: tracer.input('sample', sample),
          timestep: tracer.input('timestep', timestep, 'i32'),
          encoderHiddenStates: tracer.input('context', context),
        }),
      },
    }));
  expect(attempt).toThrow(UserError);
  expect(attempt).toThrow(message);
});

test.each([
  [undefined, undefined, undefined],
  [undefined, [1], /classLabels are given, and this model takes none/],
  [7, undefined, /classLabels must be \[1\], numbers below 7, got none/],
  [7, [2], /classLabels must be \[1\], numbers below 7, got \[2\]/],
] as const)('of %j classes, labels %j are checked', (numClassEmbeds, labels, message) => {
  const attempt = () =>
    trace((tracer) => ({
      outputs: {
        out: unet(
          new Scope(tracer, 'unet'),
          { ...tiny.config, ...(numClassEmbeds !== undefined && { numClassEmbeds }) },
          {
            sample: tracer.input('sample', [1, 4, 8, 8]),
            timestep: tracer.input('timestep', [1], 'i32'),
            encoderHiddenStates: tracer.input('context', [1, 5, 12]),
            classLabels: labels && tracer.input('labels', labels, 'i32'),
          },
        ),
      },
    }));
  if (message) expect(attempt).toThrow(message);
  else expect(attempt).not.toThrow();
});
