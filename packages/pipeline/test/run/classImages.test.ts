import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { images, withClassImages } from '@sdft/data';
import { openImages } from '@sdft/data/node';
import type { Backend } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { describe, expect, it } from 'vitest';
import {
  type ClassImagesProgress,
  makeClassImages,
  missingClassImages,
  openBase,
  openGenerator,
  type Recipe,
} from '../../src/index.ts';
import { base, goldens, stem, temporaryFolder, using } from '../support/small.ts';
import { registry } from '../recipe/registry.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const prompt = 'a photo of a cup';

/** A run that wants class pictures. */
const asking = (classes: string, more: object = {}, seed = 3) =>
  stem.seed(seed).data(
    withClassImages(images(goldens('train/images'), { resolution: 64 }), at(classes), {
      caption: prompt,
      count: 3,
      steps: 2,
      ...more,
    }),
  );
const recipeOf = (...asked: Parameters<typeof asking>) => asking(...asked).recipe as Recipe;
/** What is in a folder, hidden files too: names and bytes. */
const contents = (classes: string) =>
  readdirSync(at(classes))
    .sort()
    .map((name) => [name, readFileSync(join(at(classes), name)).toString('hex')]);

describe('class pictures that are missing', () => {
  it('are drawn by the base as it is, and called after what is in them', async () => {
    const heard: ClassImagesProgress[] = [];
    const written = await makeClassImages(recipeOf('drawn'), registry, {
      onProgress: (progress) => heard.push(progress),
    });
    expect(written.map((file) => file.slice(at('drawn/').length))).toEqual(
      readdirSync(at('drawn')),
    );
    const { classes } = await openImages(
      asking('drawn').recipe.data as ReturnType<typeof withClassImages>,
    );
    await using(asking('drawn').build(), async ({ plan }) => {
      expect(plan.data).toEqual({
        ...{ pictures: 4, captions: 4, classPictures: 3, classCaptions: 1 },
        ...{ missing: 0, epoch: 4 },
      });
    });
    expect(heard).toEqual(
      written.flatMap((file, i) => [
        { there: i, count: 3, step: 1, steps: 2 },
        { there: i, count: 3, step: 2, steps: 2 },
        { there: i + 1, count: 3, step: 0, steps: 2, file },
      ]),
    );
    // As `sdft generate --seed 4` draws it.
    await using generator = await openGenerator(await openBase(base));
    const [second] = await generator.generate(prompt, {
      seed: 4,
      steps: 2,
      longPrompts: 'truncate',
    });
    const pixels = (await classes.decode(1)).data;
    expect([...pixels]).toEqual([...second!.picture.data]);
    const hash = createHash('sha256').update(pixels).digest('hex').slice(0, 16);
    expect(readdirSync(at('drawn'))[1]).toBe(`00001-${hash}.png`);
  });

  it('follow from the seed alone, and go on where they were ended', async () => {
    const whole = at('drawn');
    expect(await makeClassImages(recipeOf('again'), registry)).toHaveLength(3);
    expect(contents('again')).toEqual(contents('drawn'));
    expect(await makeClassImages(recipeOf('other', { count: 1 }, 11), registry)).toHaveLength(1);
    expect(readdirSync(at('other'))[0]).not.toBe(readdirSync(whole)[0]);

    const stop = new AbortController();
    const ended = makeClassImages(recipeOf('parts'), registry, {
      signal: stop.signal,
      onProgress: ({ there, step }) => {
        if (there === 1 && step === 1) stop.abort();
      },
    });
    await expect(ended).rejects.toMatchObject({ name: 'AbortError' });
    const [first, ...none] = readdirSync(at('parts'));
    expect(none).toEqual([]);
    const { ino, mtimeMs } = statSync(join(at('parts'), first!));
    expect(await makeClassImages(recipeOf('parts'), registry)).toHaveLength(2);
    expect(contents('parts')).toEqual(contents('drawn'));
    expect(statSync(join(at('parts'), first!))).toMatchObject({ ino, mtimeMs });

    // One that was thrown away is drawn again, as it was; nothing is drawn where all are there.
    unlinkSync(join(at('parts'), readdirSync(at('parts'))[1]!));
    expect(await makeClassImages(recipeOf('parts'), registry)).toHaveLength(1);
    expect(contents('parts')).toEqual(contents('drawn'));
    const unused: Backend = { name: 'null', compile: () => Promise.reject(new Error('used')) };
    expect(await makeClassImages(recipeOf('parts'), registry, { backend: unused })).toEqual([]);
  });

  it('are fewer where there are pictures of other origin', async () => {
    mkdirSync(at('own'));
    for (const file of readdirSync(goldens('train/class_images')).slice(0, 2))
      copyFileSync(join(goldens('train/class_images'), file), join(at('own'), file));
    expect(await missingClassImages(recipeOf('own', { count: 4 }), registry)).toEqual({
      ...{ folder: at('own'), prompt, count: 4, there: 2 },
    });
    expect(await makeClassImages(recipeOf('own', { count: 4 }), registry)).toHaveLength(2);
    expect(readdirSync(at('own')).filter((name) => /^0000[01]-/.test(name))).toEqual(
      readdirSync(at('drawn')).slice(0, 2),
    );
    expect(await missingClassImages(recipeOf('own', { count: 4 }), registry)).toBeUndefined();
    expect(await missingClassImages(stem.recipe as Recipe, registry)).toBeUndefined();
  });

  it('leave nothing behind in memory', async () => {
    let held = 0;
    const inner = cpu();
    const counting: Backend = {
      ...inner,
      compile: async (...given) => {
        const executable = await inner.compile(...given);
        held++;
        return {
          ...executable,
          run: (inputs) => executable.run(inputs),
          dispose: () => {
            held--;
            return executable.dispose();
          },
        };
      },
    };
    let most = 0;
    await makeClassImages(recipeOf('counted', { count: 1 }), registry, {
      backend: counting,
      onProgress: () => (most = Math.max(most, held)),
    });
    expect(most).toBeGreaterThanOrEqual(3);
    expect(held).toBe(0);
  });
});

describe('a run whose class pictures are missing is refused, saying what to do', () => {
  it.each([
    [
      'they can be drawn',
      {},
      /nothing: 0 of 3 class images are there. makeClassImages\(recipe\) draws the others/,
    ],
    [
      'nothing says what they show',
      { caption: undefined },
      /nothing: 0 of 3 class images are there. Put pictures of the class there, or say what the base shall draw: a class prompt/,
    ],
    [
      'nothing says how many',
      { count: undefined },
      /nothing: no class images are there. .*or say how many the base shall draw/,
    ],
  ] as const)('%s', async (_, more, message) => {
    await expect(asking('nothing', more).build()).rejects.toThrow(message);
    if (Object.keys(more).length > 0)
      await expect(makeClassImages(recipeOf('nothing', more), registry)).rejects.toThrow(message);
  });

  it('unless it is a rehearsal, which plans what it will be and takes no steps', async () => {
    await using(asking('nothing', { count: 9 }).build({ rehearse: true }), async (run) => {
      expect(run.plan).toMatchObject({
        batch: 4,
        data: { pictures: 4, classPictures: 9, classCaptions: 1, missing: 9, epoch: 9 },
      });
      await expect(run.steps(1).next()).rejects.toThrow(/rehearsal: 9 class images are missing/);
    });
    await using(asking('drawn').build({ rehearse: true }), async ({ plan }) => {
      expect(plan.data!.missing).toBe(0);
    });
  });

  it('and so is data that is unsound, before anything is drawn', async () => {
    const recipe = { ...recipeOf('nothing'), data: { images: 'a', classImages: { images: '' } } };
    await expect(makeClassImages(recipe as Recipe, registry)).rejects.toThrow(
      /data.classImages needs 'images'/,
    );
  });
});
