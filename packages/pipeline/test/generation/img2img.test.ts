import { readFloat32 } from '@sdft/models';
import type { SamplerName } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { hostArray, type HostArray, UserError } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { type Base, type GenerateOptions, openBase, openGenerator } from '../../src/index.ts';
import { base as path, pathOf } from '../support/small.ts';

const { tensors } = openSafetensors(pathOf('fixtures/img2img/latents.safetensors'));
const array = (name: string): HostArray => {
  const weight = tensors.get(name)!;
  return hostArray(readFloat32(weight), weight.shape) as HostArray;
};
const base = await openBase(path);
const inpainting: Base = {
  ...base,
  name: 'inpainting',
  unet: { ...base.unet, inChannels: 9 },
  weights: new Map([...base.weights, ['unet.conv_in.weight', tensors.get('conv_in')!]]),
};
const given = { initImage: array('image'), latents: array('noise'), steps: 10, cfg: 7.5 };

async function latents(on: Base, options: GenerateOptions): Promise<Float32Array> {
  await using generator = await openGenerator(on);
  const [made] = await generator.generate('a red cup', options);
  return made!.latents.data as Float32Array;
}

const cases = [...tensors.keys()].flatMap((key) => {
  const [, kind, sampler, strength] = /^(img2img|inpaint)\.(.*?)\.(\d.*)$/.exec(key) ?? [];
  return kind === undefined ? [] : [[key, kind, sampler as SamplerName, Number(strength)] as const];
});

describe('pictures that start from a picture', () => {
  it.each(cases)('end where those of diffusers end: %s', async (key, kind, sampler, strength) => {
    const got = await latents(kind === 'inpaint' ? inpainting : base, {
      ...given,
      sampler,
      strength,
      ...(kind === 'inpaint' && { mask: array('mask') }),
    });
    const expected = readFloat32(tensors.get(key)!);
    const worst = got.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i]!)), 0);
    expect(worst).toBeLessThan(1e-3);
  });

  it('or from none, where an inpainting base draws everything', async () => {
    const { initImage: _, ...noise } = given;
    const got = await latents(inpainting, noise);
    const expected = readFloat32(tensors.get('everything.ddim')!);
    const worst = got.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i]!)), 0);
    // A picture of one grey has next to no variance, so that norms enlarge what is rounded in it: of latents up to 37, 2e-3 differ.
    const size = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    expect(worst / size).toBeLessThan(1e-4);
    // What stands beside the noise counts: a picture that is whole gives another.
    const shape = [1, 1, 64, 64];
    const mask = hostArray(new Float32Array(64 * 64), shape) as HostArray;
    const other = await latents(inpainting, { ...given, mask });
    expect(other.some((v, i) => Math.abs(v - expected[i]!) > 0.1)).toBe(true);
  });

  it('have the size of the picture, and take the steps that strength leaves', async () => {
    await using generator = await openGenerator(base);
    const steps: number[] = [];
    const [made] = await generator.generate('a', {
      initImage: hostArray(new Float32Array(3 * 24 * 16), [1, 3, 24, 16]) as HostArray,
      steps: 4,
      strength: 0.5,
      sampler: 'euler-a',
      onStep: ({ step }) => steps.push(step),
    });
    expect(made!.picture.shape).toEqual([24, 16, 3]);
    expect(steps).toEqual([2, 3]);
  });
});

describe('refused:', () => {
  const refused = async (on: Base, options: GenerateOptions, said: RegExp) => {
    await using generator = await openGenerator(on);
    expect(() => generator.check('a', options)).toThrow(UserError);
    expect(() => generator.check('a', options)).toThrow(said);
  };
  const { initImage } = given;
  const mask = array('mask');
  it('an inpainting base without a mask', () =>
    refused(inpainting, { initImage }, /give it a picture and a mask/));
  it('a mask for another base', () => refused(base, { initImage, mask }, /which .* is not/));
  it('a mask of another size', () =>
    refused(
      inpainting,
      { initImage, mask: hostArray(new Float32Array(4), [1, 1, 2, 2]) as HostArray },
      /mask must be \[1, 1, 64, 64\]/,
    ));
  it('plms', () => refused(base, { initImage, sampler: 'plms' }, /plms cannot start/));
  it('no step at all', () =>
    refused(base, { initImage, steps: 5, strength: 0.1 }, /is not one step/));
  it('a strength out of range', () => refused(base, { initImage, strength: 2 }, /at most 1/));
  it('another size', () => refused(base, { initImage, size: 32 }, /resize it first/));
});
