import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { adamw, images, pipeline, textualInversion } from '../../src/index.ts';
import { goldens, temporaryFolder, using } from '../support/fixtures.ts';

const folder = temporaryFolder();
/** A folder of one picture with a caption. */
function captioned(name: string, caption: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  copyFileSync(goldens('train/images/00_coffee.png'), join(path, 'a.png'));
  writeFileSync(join(path, 'a.txt'), caption);
  return path;
}
const built = (path: string, template?: string) =>
  pipeline()
    .model(goldens('tiny-sd'))
    .data(images(path, { resolution: 64, template }))
    .method(textualInversion({ token: '<x>', init: 'cup' }))
    .optimizer(adamw({ lr: 1e-3 }))
    .build();

describe('captions', () => {
  it('are the pictures own where they contain the word', async () => {
    await using(built(captioned('own', 'a photo of <X>')), async ({ recipe, plan }) => {
      expect(recipe.data!.template).toBeUndefined();
      expect(plan.data!.captions).toBe(1);
    });
    await using(built(captioned('a1111', 'a photo of [name]')), async ({ recipe }) => {
      expect(recipe.data!.template).toBeUndefined();
    });
  });

  it('come from the published templates where they do not, and the recipe says so', async () => {
    await using(built(captioned('plain', 'a cup')), async ({ recipe, plan }) => {
      expect(recipe.data!.template).toBe('object');
      expect(plan.data!.captions).toBe(27);
      expect(plan.warnings).toEqual([]);
    });
  });

  it('that never contain the word are refused where a template makes them so', async () => {
    await expect(built(captioned('wrong', 'a cup'), 'a photo')).rejects.toThrow(
      /no caption contains <x>, so nothing would be learned \("a photo", for one\)/,
    );
  });

  it('that lose their ends are told', async () => {
    const long = captioned('long', `<x> and ${'very '.repeat(90)}small cups`);
    await using(built(long), async ({ plan }) => {
      expect(plan.warnings.join()).toMatch(
        /1 of 1 captions have more than 75 tokens.*small cups"/s,
      );
    });
  });
});
