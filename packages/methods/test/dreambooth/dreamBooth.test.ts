import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  adamw,
  type Adapter,
  buildRun,
  constant,
  denoise,
  dreamBooth,
  fullFineTune,
  images,
  makeClassImages,
  type Method,
  parseRecipe,
  pipeline,
  presets,
  type Recipe,
  recipeFlags,
  recipeJsonSchema,
  textualInversion,
  variantOf,
  withClassImages,
} from '../../src/index.ts';
import { classFolder } from '../../src/dreambooth/classFolder.ts';
import { goldens, reports, temporaryFolder, using } from '../support/fixtures.ts';

const folder = temporaryFolder();
const pictures = images(goldens('train/images'), { resolution: 64 });
const both = withClassImages(pictures, goldens('train/class_images'));
const stem = pipeline()
  .model(goldens('tiny-sd'))
  .optimizer(adamw({ lr: 1e-4 }))
  .seed(3);
const base = goldens('tiny-sd');
const recipe = (more: object): Recipe =>
  parseRecipe({ base, method: 'dreambooth', data: { ...pictures }, steps: 2, seed: 3, ...more });

describe('a recipe of DreamBooth', () => {
  it('is what the builder says', () => {
    const described = stem.data(pictures).method(
      dreamBooth({
        prompt: 'a photo of sks cup',
        classPrompt: 'a photo of a cup',
        snrGamma: 5,
        over: textualInversion({ token: '<x>', init: 'cup' }),
      }),
    ).recipe;
    expect(described).toMatchObject({
      method: 'dreambooth',
      prompt: 'a photo of sks cup',
      classPrompt: 'a photo of a cup',
      snrGamma: 5,
      over: { name: 'textual-inversion', token: '<x>', init: 'cup' },
    });
    expect(parseRecipe(JSON.parse(JSON.stringify(described)))).toEqual(described);
  });

  it.each([
    [
      { prompt: 'a cup', data: { ...pictures, template: 'a mug' } },
      'prompt and data.template say the same thing in different words: give one',
    ],
    [
      { classPrompt: 'a cup', data: { ...both, classImages: { images: 'c', caption: 'a mug' } } },
      'classPrompt and data.classImages.caption say the same thing',
    ],
    [
      { priorWeight: 2 },
      'priorWeight asks for prior preservation, and there are no class pictures',
    ],
    [
      { over: { name: 'fll' } },
      'over.name must be one of full, textual-inversion, hypernetwork, lora',
    ],
    [{ over: { token: '<x>' } }, 'there is no setting over.token'],
    [{ over: { name: 'textual-inversion', init: 'cup' } }, 'over.token is missing: text'],
    [
      { over: { name: 'textual-inversion', token: '<x>' } },
      'init is missing: say what the vectors of <x> start as',
    ],
    [{ over: { name: 'full', snrGamma: 5 } }, 'there is no setting over.snrGamma'],
  ])('is refused where it is wrong: %j', (more, message) => {
    expect(() => recipe(more)).toThrow(message);
  });

  it('has flags and a schema for each method that it can be over', () => {
    const preset = presets['dreambooth']!;
    const paths = (over?: string) =>
      recipeFlags(variantOf(preset, { over: { name: over } })).map(({ path }) => path.join('.'));
    expect(paths()).toEqual(expect.arrayContaining(['over.name', 'over.trainTextEncoder']));
    expect(paths('textual-inversion')).toContain('over.token');
    expect(paths('textual-inversion')).not.toContain('over.trainTextEncoder');
    for (const over of [undefined, 'textual-inversion']) {
      const flags = recipeFlags(variantOf(preset, { over: { name: over } }));
      const names = flags.map(({ flag }) => flag.split(' ')[0]!);
      expect([...new Set(names)]).toEqual(names);
      expect(flags.find(({ flag }) => flag.startsWith('--class-prompt'))!.path).toEqual([
        'classPrompt',
      ]);
    }
    expect(JSON.stringify(recipeJsonSchema())).toContain('"trainTextEncoder"');
  });
});

describe('defaults', () => {
  it('make captions of the prompts, and keep class pictures by base and prompt', async () => {
    const asked = recipe({ prompt: 'a photo of sks cup', classPrompt: 'A photo of a cup!' });
    const relativeTo = join(folder, 'defaults');
    await using(buildRun(asked, { relativeTo, rehearse: true }), async ({ recipe: full, plan }) => {
      expect(full.data).toMatchObject({
        template: 'a photo of sks cup',
        interpolation: 'bilinear',
        classImages: {
          images: 'class-images/tiny-sd/a-photo-of-a-cup',
          caption: 'A photo of a cup!',
          count: 100,
        },
      });
      expect(full).toMatchObject({ clip: 1, optimizer: { name: 'adamw', lr: 5e-6 } });
      expect(plan).toMatchObject({
        batch: 2,
        data: { pictures: 4, captions: 1, classPictures: 100, classCaptions: 1, missing: 100 },
      });
      // A run's own recipe says everything twice, and is read back.
      expect(parseRecipe({ ...full })).toEqual(full);
    });
  });

  it('are those of the method that it is over, rates too', async () => {
    const asked = recipe({ over: { name: 'textual-inversion', token: '<x>', init: 'cup' } });
    await using(buildRun(asked), async ({ recipe: full }) =>
      expect(full.optimizer).toMatchObject({ lr: 5e-4 }),
    );
  });

  it('draw no more class pictures than a count says, and none where it has no prompt', async () => {
    const few = recipe({ classPrompt: 'a cup', classCount: 2, classSteps: 1 });
    const relativeTo = join(folder, 'few');
    await expect(buildRun(few, { relativeTo })).rejects.toThrow(/a-cup: 0 of 2 class images/);
    expect(await makeClassImages(few, { relativeTo })).toHaveLength(2);
    await using(buildRun(few, { relativeTo }), async ({ plan }) =>
      expect(plan.data).toMatchObject({ classPictures: 2, missing: 0 }),
    );
    const own = recipe({ data: { ...both } });
    expect(await makeClassImages(own)).toEqual([]);
    await using(buildRun(own), async ({ plan }) =>
      expect(plan.data).toMatchObject({ classPictures: 3, classCaptions: 3 }),
    );
  });

  it('name folders in plain letters', () => {
    expect(classFolder('nano', 'a photo of a dog')).toBe('class-images/nano/a-photo-of-a-dog');
    expect(classFolder('C:\\models\\sd 1.5.safetensors', '../../x')).toBe('class-images/sd-1-5/x');
    expect(classFolder('models/sd/', 'ein schöner Hund, 犬')).toBe(
      'class-images/sd/ein-schöner-hund-犬',
    );
    expect(classFolder('..', '...')).toBe('class-images/unnamed/unnamed');
  });
});

describe('prior preservation', () => {
  const lossOf = async (method: Method, data: typeof pictures) =>
    using(stem.data(data).method(method).steps(1).build(), async (run) => {
      const [report] = await reports(run);
      return { loss: report!.loss, batch: run.plan.batch };
    });

  it('is on where there are class pictures, asked for or not, and off elsewhere', async () => {
    const off = await lossOf(dreamBooth(), pictures);
    expect(off.batch).toBe(1);
    const on = await lossOf(dreamBooth(), both as typeof pictures);
    expect(on.batch).toBe(2);
    // Both terms count whole: of two pictures the loss is about twice that of one.
    expect(on.loss / off.loss).toBeGreaterThan(1.4);
    const asked = dreamBooth({ priorWeight: 1 });
    const same = await using(
      stem.data(both).method(asked).steps(1).build(),
      async (run) => (await reports(run))[0]!.loss,
    );
    expect(same).toBe(on.loss);
  });

  it('of a record that was made with class pictures is the same run again', async () => {
    const record = join(folder, 'record.safetensors');
    const described = recipe({ data: { ...both } });
    const first = await using(buildRun(described, { record }), (run) => reports(run));
    const again = await using(buildRun(described, { replay: record }), (run) => reports(run));
    expect(again.map(({ losses }) => losses)).toEqual(first.map(({ losses }) => losses));
  });

  it('needs class pictures where it is asked for', () => {
    expect(dreamBooth({ priorWeight: 1 }).objective.needs).toBe('class');
    expect(dreamBooth({ classPrompt: 'a cup' }).objective.needs).toBe('class');
    expect(dreamBooth().objective.needs).toBeUndefined();
    expect(() => dreamBooth({ priorWeight: -1 })).toThrow(/0 or more, got -1/);
  });
});

describe('what is trained', () => {
  it('is any adapter, also one that no recipe can name', async () => {
    const scales: Adapter = {
      name: 'scales',
      at: 'unet.**.attn2.to_v',
      init: (layer) => ({ scale: constant([layer.out], 1) }),
      wrap:
        (layer, { scale }) =>
        (x) =>
          layer(x).mul(scale!),
    };
    const over = { name: 'scales', options: {}, adapters: [scales], objective: denoise() };
    const run = stem
      .data(images(goldens('train/images'), { resolution: 64, template: 'a photo of sks cup' }))
      .method(dreamBooth({ over }))
      .build();
    await using(run, async ({ plan, recipe: own }) => {
      expect([...plan.trained.keys()].every((name) => name.startsWith('scales/'))).toBe(true);
      expect(own['over']).toEqual({ name: 'scales' });
    });
  });

  it('is the U-Net, and the text encoder at a rate of its own', async () => {
    const described = stem
      .data(pictures)
      .method(dreamBooth({ over: fullFineTune({ trainTextEncoder: true, textEncoderLr: 1e-6 }) }));
    expect(described.recipe['over']).toEqual({
      ...{ name: 'full', trainTextEncoder: true, textEncoderLr: 1e-6 },
    });
    await using(described.build(), async ({ plan }) => {
      const names = [...plan.trained.keys()];
      expect(names.some((name) => name.startsWith('full/text_encoder.'))).toBe(true);
      expect(names.some((name) => name.startsWith('full/unet.'))).toBe(true);
    });
  });
});

it('takes captions of single pictures as well as one prompt, and both', async () => {
  const path = join(folder, 'captioned');
  mkdirSync(path);
  for (const file of readdirSync(goldens('train/images'))) {
    copyFileSync(join(goldens('train/images'), file), join(path, file));
    writeFileSync(join(path, file.replace('.png', '.txt')), `sks ${file.slice(3, -4)}, indoors`);
  }
  const captions = (more: object) =>
    using(
      buildRun(recipe({ data: { images: path, resolution: 64 }, ...more })),
      async ({ plan }) => plan.data!.captions,
    );
  expect(await captions({})).toBe(4);
  expect(await captions({ prompt: 'a photo of sks mug' })).toBe(1);
  expect(await captions({ prompt: 'a photo of sks mug, {caption}' })).toBe(4);
});
