/** @file docs/recipe.md tells the truth. After a change of settings: npx vitest run test/docs/recipe.test.ts -u */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseRecipe, recipeFlags, presets } from '../../src/index.ts';
import { pathOf } from '../support/fixtures.ts';
import { withTables } from './recipePage.ts';

const path = pathOf('docs/recipe.md');
const page = readFileSync(path, 'utf8');

test('every key is there, as the schemas have it', async () => {
  await expect(withTables(page)).toMatchFileSnapshot(path);
});

test('so is every flag of every method', () => {
  for (const preset of Object.values(presets))
    for (const { flag, path: key } of recipeFlags(preset))
      expect(page).toContain(`\n| \`${key.join('.')}\` | \`${flag.replaceAll('|', '\\|')}\` |`);
});

describe('its recipes', () => {
  const recipes = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, text]) => text!);
  test('are several', () => expect(recipes.length).toBeGreaterThan(2));
  test.for(recipes)('can be run: %s', (text) => {
    expect(parseRecipe(text)).toMatchObject({ base: expect.any(String) });
  });
});
