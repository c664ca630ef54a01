/** @file Previews of bases that make pictures from pictures, drawn from those that are trained on: before and after beside each other. */
import { join } from 'node:path';
import { images, type Rgb, toPixels } from '@sdft/data';
import { decodePicture, openImages, readSize, resizePicture } from '@sdft/data/node';
import { hostArray, type HostArray } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import {
  adamw,
  type GenerateOptions,
  lora,
  pipeline,
  type Run,
  superResolution,
} from '../../src/index.ts';
import { inpaintingBase } from '../inpainting/cases.ts';
import { goldens, reports, temporaryFolder } from '../support/fixtures.ts';
import { upscaler } from '../support/upscaler.ts';

const folder = temporaryFolder();
const SIDE = 32;
const pictures = images(goldens('train/images'), { resolution: SIDE });
const prompts = ['a mug'];
const look = { steps: 2, cfg: 3, seed: 4 };
const preview = { every: 1, prompts, ...look };
const stem = pipeline()
  .data(pictures)
  .optimizer(adamw({ lr: 1e-2 }))
  .steps(1)
  .seed(1);
const upscaling = stem.model(upscaler()).method(superResolution({ over: lora({ rank: 2 }) }));
const inpainting = stem.model(await inpaintingBase()).method(lora({ rank: 2 }));

/** What the one preview of a run shows, row by row. */
async function shown(run: Run): Promise<{ before: Rgb; after: Rgb }[]> {
  const [report] = await reports(run);
  const path = report!.written.find((file) => file.endsWith(join('previews', '1-0.png')))!;
  const sheet = await decodePicture(path, { ...(await readSize(path)), interpolation: 'bicubic' });
  const gap = 8;
  const rows = Math.round((sheet.height - 3 * gap) / (SIDE + gap));
  const head = sheet.height - gap - rows * (SIDE + gap);
  const cell = (row: number, column: number): Rgb => {
    const [top, left] = [head + gap + row * (SIDE + gap), gap + column * (SIDE + gap)];
    const data = new Uint8Array(3 * SIDE * SIDE);
    for (let y = 0; y < SIDE; y++) {
      const from = 3 * ((top + y) * sheet.width + left);
      data.set(sheet.data.subarray(from, from + 3 * SIDE), 3 * y * SIDE);
    }
    return { data, width: SIDE, height: SIDE };
  };
  return Array.from({ length: rows }, (_, row) => ({ before: cell(row, 0), after: cell(row, 1) }));
}

const array = (data: Float32Array, shape: readonly number[]) => hostArray(data, shape) as HostArray;
const pixelsOf = (picture: Rgb) =>
  array(toPixels(picture).data, [1, 3, picture.height, picture.width]);
const farthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, value, at) => Math.max(most, Math.abs(value - b[at]!)), 0);

/** Each result is what the run itself draws from that input. */
async function expectDrawn(run: Run, after: Rgb, options: GenerateOptions): Promise<void> {
  const [drawn] = await run.generate(prompts[0]!, { ...look, ...options });
  expect(farthest(after.data, drawn!.data)).toBe(0);
}

test('an upscaler enlarges pictures of a folder of their own, reduced', async () => {
  const logDir = join(folder, 'upscaling');
  const noiseLevel = 2;
  const own = goldens('train/class_images');
  const set = await openImages(images(own, { resolution: SIDE }));
  const asked = upscaling.with({ preview: { ...preview, images: own, noiseLevel } });
  await using run = await asked.build({ logDir });
  const rows = await shown(run);
  expect(rows).toHaveLength(3);
  for (const [i, { before, after }] of rows.entries()) {
    const size = { width: SIDE / 4, height: SIDE / 4, interpolation: 'bicubic' } as const;
    const small = await resizePicture(await set.decode(i), size);
    const again = Array.from(before.data, (_, at) => {
      const pixel = Math.floor(at / 3);
      const [x, y] = [Math.floor((pixel % SIDE) / 4), Math.floor(pixel / SIDE / 4)];
      return small.data[3 * (y * size.width + x) + (at % 3)]!;
    });
    expect(farthest(before.data, again)).toBe(0);
    await expectDrawn(run, after, { lowRes: pixelsOf(small), noiseLevel });
  }
});

test('an inpainting base draws what is grey anew, another part of each picture', async () => {
  const logDir = join(folder, 'inpainting');
  const set = await openImages(pictures);
  await using run = await inpainting.with({ preview }).build({ logDir });
  const rows = await shown(run);
  expect(rows).toHaveLength(3);
  const masks: string[] = [];
  for (const [i, { before, after }] of rows.entries()) {
    const picture = await set.decode(i);
    const mask = Float32Array.from({ length: SIDE * SIDE }, (_, at) =>
      farthest(before.data.subarray(3 * at, 3 * at + 3), [128, 128, 128]) === 0 ? 1 : 0,
    );
    masks.push(mask.join());
    const area = mask.reduce((sum, value) => sum + value) / mask.length;
    expect(area).toBeGreaterThan(0.1);
    expect(area).toBeLessThan(0.6);
    expect(
      farthest(
        before.data.map((byte, at) => (mask[Math.floor(at / 3)] === 1 ? 0 : byte)),
        picture.data.map((byte, at) => (mask[Math.floor(at / 3)] === 1 ? 0 : byte)),
      ),
    ).toBe(0);
    await expectDrawn(run, after, {
      initImage: pixelsOf(picture),
      mask: array(mask, [1, 1, SIDE, SIDE]),
    });
  }
  expect(new Set(masks).size).toBe(3);
});

describe('refused before it starts:', () => {
  const plain = stem.model(goldens('tiny-sd')).method(lora({ rank: 2 }));
  test.for([
    [
      'a sampler that starts from noise alone',
      inpainting,
      { sampler: 'plms' },
      /plms cannot start/,
    ],
    ['noise that is not known', upscaling, { noiseLevel: 40 }, /from 0 to 39.* got 40/],
    ['pictures for a base of prompts', plain, { images: 'a' }, /preview.images: .*text-to-image/],
    ['noise for a base of prompts', plain, { noiseLevel: 0 }, /preview.noiseLevel: .*leave it/],
    ['a folder that is not there', upscaling, { images: 'nowhere' }, /nowhere/],
  ] as const)('%s', async ([, recipe, more, said]) => {
    const asked = recipe.with({ preview: { ...preview, ...more } });
    await expect(asked.build({ logDir: join(folder, 'refused') })).rejects.toThrow(said);
  });

  test('a record without files of pictures', async () => {
    const record = join(folder, 'record.safetensors');
    {
      await using run = await upscaling.build({ record });
      await reports(run);
    }
    const asked = upscaling.with({ preview });
    const options = { replay: record, logDir: join(folder, 'refused') };
    await expect(asked.build(options)).rejects.toThrow(/say preview.images: FOLDER/);
  });
});
