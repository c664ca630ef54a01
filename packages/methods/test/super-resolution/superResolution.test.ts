import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { describe, expect, test } from 'vitest';
import {
  adamw,
  buildRun,
  fullFineTune,
  images,
  lora,
  parseRecipe,
  pipeline,
  superResolution,
  superResolve,
  withPrior,
} from '../../src/index.ts';
import { goldens, reports, temporaryFolder } from '../support/fixtures.ts';
import { upscaler } from '../support/upscaler.ts';

const folder = temporaryFolder();
const base = upscaler();
const data = { images: goldens('train/images'), resolution: 32 };

describe('as a recipe', () => {
  test('it lowers the noise over the run, and a record of it repeats it', async () => {
    const recipe = parseRecipe({
      ...{ base, method: 'super-resolution', prompt: 'a photo of sks mug', data },
      ...{ steps: 2, seed: 3, over: { name: 'lora', rank: 2 }, augmentation: 4e-3 },
    });
    const record = join(folder, 'record.safetensors');
    await using run = await buildRun(recipe, { record });
    expect(run.recipe).toMatchObject({ data: { template: 'a photo of sks mug' } });
    const losses = (await reports(run)).map(({ loss }) => loss);
    await run.save(join(folder, 'rex.safetensors'));
    const names = [...openSafetensors(join(folder, 'rex.safetensors')).tensors.keys()];
    expect(names.length).toBeGreaterThan(10);

    await using again = await buildRun(recipe, { replay: record });
    expect((await reports(again)).map(({ loss }) => loss)).toEqual(losses);
    // Less noise from the second step on: another loss there, the same before.
    const lower = { ...recipe, augmentationEnd: 3e-3 };
    await using other = await buildRun(lower, { replay: record });
    const [first, second] = (await reports(other)).map(({ loss }) => loss);
    expect(first).toBe(losses[0]);
    expect(second).not.toBe(losses[1]);
  });

  test('it has the settings of the method that it is over', async () => {
    const recipe = (over: object) =>
      parseRecipe({ base, method: 'super-resolution', data, over, augmentation: 2e-3 });
    await using run = await buildRun(recipe({ name: 'full', dtype: 'f16' }));
    expect(run.recipe).toMatchObject({ steps: 800, optimizer: { lr: 5e-6 } });
    // The table of noise levels is trained, too.
    expect([...run.plan.trained.keys()].join()).toContain('class_embedding');
    expect(() => recipe({ name: 'full', rank: 4 })).toThrow(/rank/);
    expect(() => recipe({ name: 'super-resolution' })).toThrow(/over.name/);
  });
});

describe('in code', () => {
  test('it holds what it was made of', () => {
    const method = superResolution({ augmentation: 2e-3, snrGamma: 5, over: lora({ rank: 2 }) });
    expect(method.options).toEqual({
      ...{ augmentation: 2e-3, snrGamma: 5, over: { name: 'lora', rank: 2 } },
    });
    expect(method.objective.recipe).toEqual({
      ...{ name: 'super-resolve', augmentation: 2e-3, snrGamma: 5 },
    });
    expect(withPrior(superResolve()).recipe?.['of']).toMatchObject({ name: 'super-resolve' });
  });

  const stem = pipeline()
    .adapter(fullFineTune({ at: 'unet.conv_in' }))
    .objective(superResolve())
    .optimizer(adamw({ lr: 1e-4 }))
    .data(images(data.images, { resolution: 32 }));

  test.for([
    [stem.model(base), /say the number of steps \(steps\)/],
    [stem.model(goldens('tiny-sd')).steps(2), /trains models that enlarge pictures/],
    [
      stem
        .model(base)
        .data(images(data.images, { resolution: 34 }))
        .steps(2),
      /multiples of 4: 32 or 36/,
    ],
  ] as const)('%#: what cannot be trained is refused before it starts', async ([recipe, said]) => {
    await expect(recipe.build()).rejects.toThrow(said);
  });

  test.for([{ augmentation: 0 }, { augmentationEnd: 1 }, { augmentation: Number.NaN }])(
    '%j is refused',
    (options) => expect(() => superResolve(options)).toThrow(/must lie between 0 and 1, got/),
  );

  test('without a change of noise the number of steps need not be known', async () => {
    const steady = superResolve({ augmentation: 1e-3, augmentationEnd: 1e-3 });
    await using run = await stem.model(base).objective(steady).build();
    expect((await reports(run, 1))[0]!.loss).toBeGreaterThan(0);
  });
});
