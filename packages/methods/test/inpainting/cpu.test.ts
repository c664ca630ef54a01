import { join } from 'node:path';
import { decodePicture } from '@sdft/data/node';
import { expect, test } from 'vitest';
import {
  buildRun,
  cpu,
  images,
  lora,
  makeClassImages,
  openBase,
  openGenerator,
  parseRecipe,
  pipeline,
} from '../../src/index.ts';
import { goldens, reports, temporaryFolder } from '../support/fixtures.ts';
import { expectRun } from '../support/recordedRun.ts';
import { inpainting } from './cases.ts';

test("diffusers' training of an inpainting model, repeated on the cpu", () =>
  expectRun(inpainting, cpu()));

test('any method trains one, from pictures alone', async () => {
  await using run = await pipeline()
    .model(inpainting.base)
    .data(images(goldens('train/images'), { resolution: 32 }))
    .method(lora({ rank: 2 }))
    .build();
  const [report] = await reports(run, 1);
  expect(report!.loss).toBeGreaterThan(0);
  expect(report!.gradNorm).toBeGreaterThan(0);
});

test('class pictures that are missing are drawn by an inpainting base, from the prompt alone, and trained on', async () => {
  const classImages = join(temporaryFolder(), 'class');
  const size = 32;
  const recipe = parseRecipe({
    ...{ base: inpainting.base, method: 'dreambooth', over: { name: 'lora', rank: 2 }, seed: 5 },
    ...{ prompt: 'a photo of sks mug', classPrompt: 'a photo of a mug', classCount: 2 },
    data: {
      ...{ images: goldens('train/images'), resolution: size },
      classImages: { images: classImages, steps: 3 },
    },
  });
  const [, second] = await makeClassImages(recipe, { size });
  const drawn = await decodePicture(second!, {
    ...{ width: size, height: size, interpolation: 'bicubic' },
  });
  await using generator = await openGenerator(await openBase(inpainting.base));
  const [alone] = await generator.generate('a photo of a mug', {
    ...{ size, steps: 3, seed: 6, longPrompts: 'truncate' },
  });
  expect([...drawn.data]).toEqual([...alone!.picture.data]);

  await using run = await buildRun(recipe);
  expect(run.plan).toMatchObject({ batch: 2, data: { classPictures: 2, missing: 0 } });
  expect((await reports(run, 1))[0]!.loss).toBeGreaterThan(0);
});
