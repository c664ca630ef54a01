/** @file Pictures that are enlarged, as diffusers enlarges them (tools/super-resolution/make_fixtures.py). */
import { readFloat32, type SamplerName } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { hostArray, type HostArray } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { type Base, type GenerateOptions, openBase, openGenerator } from '../../src/index.ts';
import { base as plain, pathOf, upscaler } from '../support/small.ts';

const { tensors } = openSafetensors(pathOf('fixtures/super-resolution/upscale.safetensors'));
const array = (name: string): HostArray => {
  const weight = tensors.get(name)!;
  return hostArray(readFloat32(weight), weight.shape) as HostArray;
};
const base = await openBase(upscaler());
const lowRes = array('small');
const drawn = { lowRes, lowResNoise: array('low_res_noise'), latents: array('latents') };
/** Sampler steps of which the fixture holds the states. */
const KEPT = [0, 2, 5];

const cases = [...tensors.keys()].flatMap((key) => {
  const [, sampler, level, cfg] = /^states\.(.*)\.(\d+)\.(\d+\.\d)$/.exec(key) ?? [];
  return level === undefined
    ? []
    : [[key, sampler as SamplerName, Number(level), Number(cfg)] as const];
});

const difference = (got: ArrayLike<number>, expected: ArrayLike<number>): number => {
  expect(got.length).toBe(expected.length);
  return Array.from(got).reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i]!)), 0);
};

describe('a picture', () => {
  it('comes in three samplers, levels of noise and strengths of guidance', () =>
    expect(cases).toHaveLength(9));

  it.each(cases)('is enlarged as by diffusers: %s', async (key, sampler, noiseLevel, cfg) => {
    await using generator = await openGenerator(base);
    const states: number[] = [];
    const [made] = await generator.generate('a photo of sks dog', {
      ...{ ...drawn, sampler, noiseLevel, cfg, steps: 6, negative: 'the sea' },
      onStep: ({ step, latents }) => {
        if (KEPT.includes(step)) states.push(...latents.data);
      },
    });
    const expected = readFloat32(tensors.get(key)!);
    const size = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    expect(difference(states, expected) / size).toBeLessThan(1e-4);
    expect(made!.picture.shape).toEqual([32, 48, 3]);
    if (sampler !== 'ddim' || noiseLevel !== 20) return;
    // [1,3,H,W] in 0..1 there, bytes [H,W,3] here.
    const pixels = array('pixels').data;
    const theirs = Array.from({ length: 32 * 48 * 3 }, (_, i) =>
      Math.round(255 * pixels[(i % 3) * 32 * 48 + Math.floor(i / 3)]!),
    );
    expect(difference(made!.picture.data, theirs)).toBeLessThanOrEqual(1);
  });

  it('of a seed is the same, whatever others are drawn with it', async () => {
    await using generator = await openGenerator(base);
    const options = { lowRes, steps: 2, cfg: 1 };
    const two = await generator.generate('a', { ...options, n: 2, seed: 5 });
    const [one] = await generator.generate('a', { ...options, seed: 6 });
    expect(difference(two[1]!.picture.data, one!.picture.data)).toBeLessThanOrEqual(1);
    expect(difference(two[0]!.picture.data, one!.picture.data)).toBeGreaterThan(10);
  });
});

describe('refused:', () => {
  const refused = async (on: Base, options: GenerateOptions, said: RegExp) => {
    await using generator = await openGenerator(on);
    expect(() => generator.check('a', options)).toThrow(said);
  };
  it('a base that enlarges nothing', async () =>
    refused(await openBase(plain), { lowRes }, /made for upscaling, which .* is not/));
  it('no picture', () =>
    refused(base, {}, /give it a picture to enlarge \(lowRes; sdft upscale\)/));
  it('a picture to start from', () =>
    refused(base, { lowRes, initImage: lowRes }, /give it its picture as lowRes/));
  it('a level that it does not know', () =>
    refused(base, { lowRes, noiseLevel: 40 }, /from 0 to 39, .* got 40/));
  it('a size', () => refused(base, { lowRes, size: 64 }, /leave size out/));
  it('several pictures', () =>
    refused(
      base,
      { lowRes: hostArray(new Float32Array(96), [2, 3, 4, 4]) as HostArray },
      /lowRes must be \[1, 3, h, w\], got \[2, 3, 4, 4\]/,
    ));
  it('noise of another size', () =>
    refused(base, { lowRes, lowResNoise: drawn.latents }, /lowResNoise must be \[1, 3, 8, 12\]/));
  it('latents of another size', () =>
    refused(
      base,
      { lowRes, latents: hostArray(new Float32Array(64), [1, 4, 4, 4]) as HostArray },
      /latents must be as large as the picture \(lowRes\), 8 x 12, got 4 x 4/,
    ));
  it('an upscaler without levels', () => {
    const { numClassEmbeds: _, ...unet } = base.unet;
    return refused({ ...base, unet }, { lowRes }, /no noise level \(num_class_embeds\)/);
  });
});
