import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { toRgb } from '@sdft/data';
import { readFloat32, type SamplerName } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { hostArray, type HostArray } from '@sdft/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Adapter,
  openBase,
  openGenerator,
  type PictureGenerator,
  type Run,
} from '../../src/index.ts';
import {
  base,
  goldens,
  lowRank,
  pictures,
  reports,
  stem,
  temporaryFolder,
} from '../support/small.ts';

const golden = openSafetensors(goldens('forward/tiny-sd.sampling.safetensors')).tensors;
const numbers = (name: string): Float32Array => readFloat32(golden.get(name)!);
const ids = (name: string): number[][] => {
  const flat = [...numbers(name)];
  return [flat.slice(0, 77), flat.slice(77)];
};
/** RMS of the difference over the RMS of what is expected. */
const error = (values: ArrayLike<number>, expected: Float32Array): number => {
  let [difference, size] = [0, 0];
  expected.forEach((value, i) => {
    difference += (values[i]! - value) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(difference / size);
};

let run: Run;
let generator: PictureGenerator;
beforeAll(async () => {
  run = await stem.data(pictures).build();
  generator = await openGenerator(await openBase(base));
});
afterAll(async () => {
  await run.dispose();
  await generator.dispose();
});

describe('sampling with guidance', () => {
  const cases: [string, SamplerName, object][] = [
    ['ddim', 'ddim', {}],
    ['euler', 'euler', {}],
    ['euler_linspace', 'euler', { spacing: 'linspace' }],
    ['euler_karras', 'euler', { spacing: 'linspace', sigmas: 'karras' }],
    ['pndm', 'plms', {}],
    ['dpmpp_2m', 'dpmpp-2m', {}],
    ['dpmpp_2m_karras', 'dpmpp-2m', { spacing: 'linspace', sigmas: 'karras' }],
  ];
  it.each(cases)('by %s is what diffusers computes', async (name, sampler, options) => {
    const states = new Map<number, ArrayLike<number>>();
    const generated = await generator.generate('', {
      ...options,
      sampler,
      steps: 10,
      cfg: 7.5,
      latents: hostArray(numbers('initial_latents'), [2, 4, 8, 8]) as HostArray,
      promptIds: { cond: ids('cond_ids'), uncond: ids('uncond_ids') },
      onStep: ({ step, latents }) => states.set(step, latents.data),
    });
    expect(error(states.get(0)!, numbers(`${name}.after_step_0`))).toBeLessThan(1e-4);
    expect(error(states.get(4)!, numbers(`${name}.after_step_4`))).toBeLessThan(1e-4);
    const final = generated.flatMap(({ latents }) => [...latents.data]);
    expect(error(final, numbers(`${name}.final_latents`))).toBeLessThan(1e-4);
    if (name !== 'ddim') return;
    generated.forEach(({ picture }, i) => {
      const decoded = numbers('ddim.decoded').slice(i * 12288, (i + 1) * 12288);
      const { data } = toRgb(hostArray(decoded, [3, 64, 64]));
      // Bytes may round to either side where a value lies between two.
      picture.data.forEach((byte, at) => expect(Math.abs(byte - data[at]!)).toBeLessThanOrEqual(1));
    });
  });
});

describe('pictures', () => {
  const quick = { steps: 2, size: '64x48' as const };

  it('depend on prompt and seed alone, not on how many are drawn together', async () => {
    const three = await run.generate('a cup', { ...quick, seed: 5, n: 3 });
    expect(three.map(({ shape }) => shape)).toEqual([
      [48, 64, 3],
      [48, 64, 3],
      [48, 64, 3],
    ]);
    const [alone] = await run.generate('a cup', { ...quick, seed: 6 });
    alone!.data.forEach((byte, i) =>
      expect(Math.abs(byte - three[1]!.data[i]!)).toBeLessThanOrEqual(1),
    );
    expect([...three[0]!.data]).not.toEqual([...three[1]!.data]);
    const [other] = await run.generate('a rocket', { ...quick, seed: 6 });
    expect([...other!.data]).not.toEqual([...alone!.data]);
    const [negative] = await run.generate('a cup', { ...quick, seed: 6, negative: 'red' });
    expect([...negative!.data]).not.toEqual([...alone!.data]);
  });

  it('without guidance do not look at the negative prompt', async () => {
    const [one] = await run.generateWithLatents('a cup', { ...quick, cfg: 1, negative: 'red' });
    const [two] = await run.generateWithLatents('a cup', { ...quick, cfg: 1, negative: 'blue' });
    expect([...one!.latents.data]).toEqual([...two!.latents.data]);
  });

  it('of long prompts see all of it in chunks, and the beginning where they are cut', async () => {
    const long = `${'very '.repeat(90)}red`;
    const latents = async (prompt: string, longPrompts: 'chunks' | 'truncate') => [
      ...(await run.generateWithLatents(prompt, { ...quick, longPrompts }))[0]!.latents.data,
    ];
    expect(await latents(`${long} cup`, 'truncate')).toEqual(
      await latents(`${long} hat`, 'truncate'),
    );
    expect(await latents(`${long} cup`, 'chunks')).not.toEqual(
      await latents(`${long} hat`, 'chunks'),
    );
  });

  it('are drawn with what has been trained so far', async () => {
    const draw = async () => [...(await run.generateWithLatents('a cup', quick))[0]!.latents.data];
    const before = await draw();
    await reports(run, 3);
    const after = await draw();
    expect(after).not.toEqual(before);
    expect(await draw()).toEqual(after);
    // A file of it draws the same in a generator of its own.
    const folder = temporaryFolder();
    const [file] = await run.save(join(folder, 'learned.safetensors'));
    const plain = lowRank();
    const adapter: Adapter = {
      ...plain,
      wrap: (layer, parameters, use) => {
        const wrapped = plain.wrap(layer, parameters, { ...use, strength: 1 });
        return (x) => layer(x).add(wrapped(x).sub(layer(x)).mul(use.strength));
      },
    };
    const learned = await openGenerator(await openBase(base), [{ adapter, file: file! }]);
    const latents = async (strengths?: readonly number[]) => [
      ...(await learned.generate('a cup', { ...quick, longPrompts: 'truncate', strengths }))[0]!
        .latents.data,
    ];
    const largest = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
    expect(largest(await latents(), after)).toBeLessThan(1e-4);
    expect(await latents([0])).toEqual(before);
    expect(largest(await latents([0.5]), after)).toBeGreaterThan(1e-4);
    expect(await latents([0])).toEqual(before);
    await learned.dispose();
    const [picture] = await run.generate('a cup', quick);
    const path = join(folder, 'cup.png');
    await picture!.save(path);
    expect(existsSync(path)).toBe(true);
    await expect(picture!.save(path)).rejects.toThrow(/exists already/);
  });

  it('can be stopped between sampler steps', async () => {
    const stop = new AbortController();
    const seen: number[] = [];
    await expect(
      run.generate('a cup', {
        ...quick,
        steps: 9,
        signal: stop.signal,
        onStep: ({ step }) => {
          seen.push(step);
          if (step === 1) stop.abort();
        },
      }),
    ).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    expect(seen).toEqual([0, 1]);
  });

  it.each([
    [{ n: 0 }, /n must be a whole number, 1 or more/],
    [{ seed: 0.5 }, /seed must be a whole number/],
    [{ steps: 0 }, /sampling steps: expected a whole number/],
    [{ cfg: Number.NaN }, /cfg must be a number/],
    [{ size: 60 }, /size 60x60: one latent stands for 8 x 8 pixels.*: 56 or 64/],
    [{ sampler: 'dimm' as SamplerName }, /sampler "dimm" is unknown/],
    [{ clipSkip: 9 }, /clipSkip 9 is not possible/],
    [
      { latents: hostArray(new Float32Array(4), [1, 1, 2, 2]) as HostArray },
      /latents must be \[n, 4, h, w\], got \[1, 1, 2, 2\]/,
    ],
    [{ promptIds: { cond: [[1, 2]], uncond: [[1]] } }, /same number of ids/],
  ])('with options out of range are refused: %j', async (options, message) => {
    await expect(run.generate('a cup', { ...quick, ...options })).rejects.toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringMatching(message) }),
    );
  });
});
