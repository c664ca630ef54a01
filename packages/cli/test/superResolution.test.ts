/** @file Models that enlarge pictures by the command line: trained on a subject, and used. */
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePng } from '@sdft/data/node';
import { readPng } from '@sdft/methods';
import { readFloat32 } from '@sdft/models';
import { openCheckpoint, openSafetensors, writeSafetensors } from '@sdft/models/node';
import ndarray from 'ndarray';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { jsonLines, pathOf, sdft, temporaryFolder } from './sdft.ts';
import { type Line, pictures } from './training.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const run = (...args: readonly string[]) => sdft(args, { cwd: folder });

cpSync(pathOf('fixtures/super-resolution/base'), at('base'), { recursive: true });
for (const part of ['text_encoder', 'tokenizer'])
  cpSync(pathOf(`fixtures/replay/sd2-base/${part}`), at(`base/${part}`), { recursive: true });
pictures(folder, 2);

const { tensors } = openSafetensors(pathOf('fixtures/super-resolution/upscale.safetensors'));
const values = (name: string): Float32Array => readFloat32(tensors.get(name)!);
const [, , height = 0, width = 0] = tensors.get('small')!.shape;
const small = values('small');
await writePng(
  at('small.png'),
  ndarray(
    Uint8Array.from({ length: small.length }, (_, i) =>
      Math.round(127.5 * (small[(i % 3) * height * width + Math.floor(i / 3)]! + 1)),
    ),
    [height, width, 3],
  ),
);

const train = (out: string, ...more: readonly string[]) =>
  run(
    ...['train', 'super-resolution', '--base', 'base', '--images', 'pictures', '--out', out],
    ...['--prompt', 'a photo of sks man', '--resolution', '32', '--steps', '2', '--seed', '7'],
    ...more,
  );
const upscale = (out: string, ...more: readonly string[]) =>
  run('upscale', 'small.png', '--out', out, '--seed', '1', '--steps', '2', ...more);

test('pictures are enlarged as by diffusers: every state of the sampler', async () => {
  await writeSafetensors(
    at('noise.safetensors'),
    new Map(['latents', 'low_res_noise'].map((name) => [name, tensors.get(name)!])),
  );
  const ended = await run(
    ...['upscale', 'small.png', '--base', 'base', '--prompt', 'a photo of sks dog'],
    ...['--negative', 'the sea', '--steps', '6', '--cfg', '9', '--noise-level', '20'],
    ...['--latents', 'noise.safetensors', '--save-trajectory', 'states.safetensors'],
    ...['--save-latents', 'final.safetensors', '--out', 'held'],
  );
  expect(ended.code, ended.stderr).toBe(0);
  const states = openSafetensors(at('states.safetensors')).tensors;
  // Of six the fixture holds three.
  const got = [0, 2, 5].flatMap((k) => [...readFloat32(states.get(`latents.${k}`)!)]);
  const expected = values('states.ddim.20.9.0');
  expect(got).toHaveLength(expected.length);
  const most = Math.max(...expected.map(Math.abs));
  expect(Math.max(...got.map((v, i) => Math.abs(v - expected[i]!))) / most).toBeLessThan(1e-4);
  expect(readFloat32(openSafetensors(at('final.safetensors')).tensors.get('latents')!)).toEqual(
    readFloat32(states.get('latents.5')!),
  );
});

describe('a trained upscaler', () => {
  test('is a folder of its own, which enlarges pictures four times', async () => {
    const ended = await train('rex', '--json');
    expect(ended.code, ended.stderr).toBe(0);
    expect(jsonLines<Line>(ended).map(({ step }) => step)).toEqual([1, 2]);
    const [before, after] = await Promise.all(
      ['base', 'rex'].map((one) => openCheckpoint(at(one))),
    );
    const table = 'unet.class_embedding.weight';
    expect(readFloat32(after!.weights.get(table)!)).not.toEqual(
      readFloat32(before!.weights.get(table)!),
    );
    expect(readFileSync(at('rex/model_index.json'), 'utf8')).toContain('low_res_scheduler');

    const large = await upscale('large', '--base', 'rex', '--noise-level', '0', '--json');
    expect(large.code, large.stderr).toBe(0);
    expect(jsonLines(large)).toEqual([
      { file: 'large/small.png', from: 'small.png', seed: 1, prompt: '' },
    ]);
    const made = await sharp(at('large/small.png')).metadata();
    expect([made.width, made.height]).toEqual([4 * width, 4 * height]);
    const text = readPng(readFileSync(at('large/small.png')), '').texts.get('parameters');
    expect(text).toMatch(/Size: 48x32, .*Noise level: 0/);
  });

  test('may be a LoRA beside the base', async () => {
    const ended = await train('rex.safetensors', '--over', 'lora', '--rank', '2');
    expect(ended.code, ended.stderr).toBe(0);
    const large = await upscale('lora', '--base', 'base', '--lora', 'rex.safetensors:0.5');
    expect(large.code, large.stderr).toBe(0);
    expect(large.stderr).toMatch(/^rex.safetensors: lora .*, strength 0.5$/m);
    expect(existsSync(at('lora/small.png'))).toBe(true);
  });
});

describe('refused, saying what to do:', () => {
  test.for([
    [
      ['train', 'super-resolution', '--base', 'nano', '--images', 'pictures', '--out', 'no'],
      'trains models that enlarge pictures, such as stabilityai/stable-diffusion-x4-upscaler',
    ],
    [
      ['train', 'full', '--base', 'base', '--images', 'pictures', '--out', 'no'],
      'base is made for upscaling: its U-Net takes 7 channels',
    ],
    [['upscale', '--base', 'base', '--out', 'no'], "missing required argument 'pictures'"],
    [
      ['upscale', 'small.png', '--base', 'nano', '--out', 'no'],
      'by a base that is made for upscaling, which nano is not',
    ],
    [
      ['upscale', 'small.png', '--base', 'base', '--noise-level', '40', '--out', 'no'],
      'noiseLevel must be a whole number from 0 to 39',
    ],
    [
      ['upscale', 'small.png', 'held/small.png', '--base', 'base', '--out', 'no'],
      'two pictures are called small',
    ],
    [
      ['generate', '--base', 'base', '--prompt', 'a', '--out', 'no'],
      'give it a picture to enlarge (lowRes; sdft upscale)',
    ],
  ] as const)('%j', async ([args, said]) => {
    const ended = await run(...args);
    expect(ended.stderr).toContain(said);
    expect(ended.code).toBe(2);
    expect(existsSync(at('no'))).toBe(false);
  });
});
