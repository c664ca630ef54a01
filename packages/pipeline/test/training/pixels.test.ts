/** @file Objectives that look at the pictures themselves, and bases that take more than latents. */
import { join } from 'node:path';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import { describe, expect, it } from 'vitest';
import { type Base, type Objective, openBase, openGenerator } from '../../src/index.ts';
import { kindOf } from '../../src/training/base.ts';
import {
  base,
  denoise,
  pictures,
  reports,
  stem,
  temporaryFolder,
  trained,
  using,
} from '../support/small.ts';

const folder = temporaryFolder();

/** The loss of `denoise`, times how bright each picture is. */
const brightness: Objective = (models, batch, draw) => {
  const bright = batch.pixels().mean([1, 2, 3]).add(1);
  expect(batch.pixels().shape).toEqual([2, 3, 64, 64]);
  return denoise(models, batch, draw).mul(bright);
};

describe('an objective that asks for the pictures', () => {
  it('gets those that the latents are of, from data and from a record', async () => {
    const record = join(folder, 'record.safetensors');
    const described = stem.objective(brightness);
    const plain = await using(stem.data(pictures).build(), (run) => reports(run, 2));
    const [losses, values] = await using(
      described.data(pictures).build({ record }),
      async (run) => [(await reports(run, 2)).map(({ loss }) => loss), await trained(run)] as const,
    );
    expect(losses[0]).not.toBeCloseTo(plain[0]!.loss, 3);
    await using(described.build({ replay: record }), async (run) => {
      expect((await reports(run)).map(({ loss }) => loss)).toEqual(losses);
      expect(await trained(run)).toEqual(values);
    });

    // Latents may stand in for moments, not for pictures.
    const { tensors } = openSafetensors(record);
    const ready = new Map(
      [...tensors].flatMap(([name, weight]) =>
        name.endsWith('.posterior_noise')
          ? [[name.replace('posterior_noise', 'latents'), weight] as const]
          : [[name, weight] as const],
      ),
    );
    const both = join(folder, 'both.safetensors');
    await writeSafetensors(both, ready);
    await using(described.build({ replay: both }), async (run) => {
      expect((await reports(run))[0]!.loss).not.toBe(losses[0]);
    });
    const latentsOnly = join(folder, 'latents.safetensors');
    await writeSafetensors(
      latentsOnly,
      new Map([...ready].filter(([name]) => !name.endsWith('.pixel_values'))),
    );
    await expect(described.build({ replay: latentsOnly })).rejects.toThrow(
      /the record holds latents and no pixel_values, which the objective needs/,
    );
  });
});

describe('a base that takes more than latents', () => {
  const withChannels = async (inChannels: number): Promise<Base> => {
    const opened = await openBase(base);
    return { ...opened, unet: { ...opened.unet, inChannels } };
  };
  it('is told from others by its channels', async () => {
    const kinds = [4, 9, 7].map(async (channels) => kindOf(await withChannels(channels)));
    expect(await Promise.all(kinds)).toEqual(['text-to-image', 'inpainting', 'upscaling']);
    const depth = await withChannels(5);
    expect(() => kindOf(depth)).toThrow(/its U-Net takes 5 channels where its VAE gives 4/);
  });

  it('draws nothing from a prompt alone', async () => {
    await using(openGenerator(await withChannels(7)), async (generator) => {
      await expect(generator.generate('a boy')).rejects.toThrow(
        /is made for upscaling and draws nothing from a prompt alone/,
      );
    });
  });
});
