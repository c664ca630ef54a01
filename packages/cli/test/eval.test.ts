import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import type { Weight } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { goldens, jsonLines, sdft, temporaryFolder } from './sdft.ts';
import { errorOf, floats, integers, numbers, tensor, write } from './tensors.ts';

const folder = temporaryFolder();
const base = goldens('tiny-sd');

let runs = 0;
/** Evaluates a module on tensors and returns the path of its outputs. */
async function evaluate(
  module: string,
  inputs: Readonly<Record<string, Weight>>,
  ...flags: readonly string[]
): Promise<string> {
  const run = ++runs;
  const [from, to] = [join(folder, `${run}.in.safetensors`), join(folder, `${run}.safetensors`)];
  await write(from, inputs);
  const ended = await sdft([
    ...['eval', module, '--base', base, '--inputs', from, '--output', to, '--json', ...flags],
  ]);
  expect(ended).toMatchObject({ code: 0 });
  const [line, ...more] = jsonLines(ended);
  expect(more).toEqual([]);
  expect(line).toMatchObject({ module, output: to });
  return to;
}

function expectClose(actual: Float32Array, expected: Float32Array, what: string): void {
  const { rms, largest } = errorOf(actual, expected);
  expect(rms, `${what}, RMS`).toBeLessThanOrEqual(5e-6);
  expect(largest, `${what}, largest`).toBeLessThanOrEqual(5e-5);
}

describe('unet', () => {
  const file = goldens('forward/tiny-sd.unet.safetensors');
  const outs = [...openSafetensors(file).tensors.keys()].filter((name) => name.endsWith('.out'));
  const sizes = [...new Set(outs.map((name) => name.split('.')[0]!))];
  const timesteps = (name: string, batch: number): Float32Array => {
    const step = /\.t(\d+)\.out$/.exec(name)?.[1];
    return step === undefined
      ? numbers(file, name.replace(/\.out$/, ''))
      : new Float32Array(batch).fill(Number(step));
  };

  /** All results of one size in one batch. */
  const check = async (size: string, ...flags: readonly string[]): Promise<void> => {
    const names = outs.filter((name) => name.startsWith(`${size}.`));
    const [batch = 0, ...picture] = tensor(file, `${size}.x`).shape;
    const context = size === 'long' ? 'long.ctx' : 'ctx';
    const all = names.length * batch;
    const repeated = (values: Float32Array) => names.flatMap(() => [...values]);
    const output = await evaluate(
      'unet',
      {
        sample: floats(repeated(numbers(file, `${size}.x`)), [all, ...picture]),
        timestep: integers(
          names.flatMap((name) => [...timesteps(name, batch)]),
          [all],
        ),
        encoder_hidden_states: floats(repeated(numbers(file, context)), [
          all,
          ...tensor(file, context).shape.slice(1),
        ]),
      },
      ...flags,
    );
    const results = numbers(output, 'sample');
    const length = results.length / names.length;
    names.forEach((name, i) =>
      expectClose(results.subarray(i * length, (i + 1) * length), numbers(file, name), name),
    );
  };

  test('the goldens are there', () => expect([sizes.length, outs.length]).toEqual([5, 14]));
  test.for(sizes)('%s', (size) => check(size));
  test('on the reference backend', () => check('odd10x13', '--backend', 'reference'));
});

describe('text', () => {
  const file = goldens('forward/tiny-sd.text_encoder.safetensors');
  const inputs = { input_ids: tensor(file, 'input_ids') };
  test('last hidden state, and what is pooled from it', async () => {
    const output = await evaluate('text', inputs);
    expectClose(
      numbers(output, 'last_hidden_state'),
      numbers(file, 'last_hidden_state'),
      'last_hidden_state',
    );
    expectClose(numbers(output, 'pooled'), numbers(file, 'pooler_output'), 'pooler_output');
  });
  test('--clip-skip 2', async () => {
    const output = await evaluate('text', inputs, '--clip-skip', '2');
    expectClose(numbers(output, 'last_hidden_state'), numbers(file, 'clip_skip_2'), 'clip_skip_2');
  });
});

describe('vae', () => {
  const file = goldens('forward/tiny-sd.vae.safetensors');
  test('encodes', async () => {
    const output = await evaluate('vae-encode', { pixels: tensor(file, 'images') });
    expectClose(numbers(output, 'mean'), numbers(file, 'mean'), 'mean');
    expectClose(numbers(output, 'logvar'), numbers(file, 'logvar'), 'logvar');
  });
  test('encodes what is not square', async () => {
    const output = await evaluate('vae-encode', { pixels: tensor(file, 'images_wide') });
    // Of one picture the moments are its means, then its logarithms of variances.
    const moments = [...numbers(output, 'mean'), ...numbers(output, 'logvar')];
    expectClose(Float32Array.from(moments), numbers(file, 'moments_wide'), 'moments_wide');
  });
  test('decodes', async () => {
    const output = await evaluate('vae-decode', { latents: tensor(file, 'z') });
    expectClose(numbers(output, 'pixels'), numbers(file, 'decoded'), 'decoded');
  });
});
