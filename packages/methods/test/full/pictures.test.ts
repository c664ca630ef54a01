/** @file Full fine-tuning on pictures, as the page on it shows: what is learned, and that what is saved draws what the run draws. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBase, openGenerator } from '@sdft/pipeline';
import { expect, test } from 'vitest';
import { adamw, buildRun, fullFineTune, images, parseRecipe, pipeline } from '../../src/index.ts';
import { settingsSchema } from '../../src/full/settings.ts';
import { goldens, pathOf, reports, temporaryFolder } from '../support/fixtures.ts';

const folder = temporaryFolder();
const page = readFileSync(pathOf('docs/methods/full.md'), 'utf8');
const look = { seed: 5, steps: 4, size: 64, cfg: 3 } as const;

test('the loss falls, and the saved model draws the picture of the run', async () => {
  await using run = await pipeline()
    .model(goldens('tiny-sd'))
    .data(images(goldens('train/images'), { template: 'a drawing', resolution: 64 }))
    .method(fullFineTune({ trainTextEncoder: true }))
    .optimizer(adamw({ lr: 2e-3 }))
    .batch(2)
    .seed(1)
    .build();
  const losses = (await reports(run, 30)).map(({ loss }) => loss);
  const mean = (some: readonly number[]) => some.reduce((sum, loss) => sum + loss, 0) / some.length;
  expect(mean(losses.slice(-10))).toBeLessThan(0.8 * mean(losses.slice(0, 10)));

  const [own] = await run.generate('a drawing', look);
  for (const name of ['folder', 'one.safetensors', 'two.ckpt']) {
    const path = join(folder, name);
    await run.save(path);
    await using generator = await openGenerator(await openBase(path));
    const [again] = await generator.generate('a drawing', look);
    // The networks are the same graphs; only where their weights lie is not.
    const apart = own!.data.map((byte, i) => Math.abs(byte - again!.picture.data[i]!));
    expect(Math.max(...apart), name).toBeLessThanOrEqual(1);
  }
});

test('the recipe on the page builds, and the page knows every setting', async () => {
  const [, yaml] = /```yaml\n([\s\S]*?)```/.exec(page)!;
  const text = yaml!.replace('images: photos', `images: ${pathOf('packages/nano/outline/train')}`);
  await using run = await buildRun(parseRecipe(text), { logDir: join(folder, 'run') });
  const names = [...run.plan.trained.keys()];
  expect(names.some((name) => name.includes('text_encoder.'))).toBe(true);
  expect(names.filter((name) => /mid_block|time_embedding/.test(name))).toEqual([]);
  for (const setting of Object.keys(settingsSchema.shape))
    expect(page, setting).toContain(`\`${setting}\``);
  for (const { flag } of Object.values(settingsSchema.shape).map(
    (schema) => (schema.meta() ?? {}) as { flag?: string },
  ))
    if (flag !== undefined) expect(page).toContain(flag.split(' ')[0]);
});
