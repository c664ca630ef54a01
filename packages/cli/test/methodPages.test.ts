/** @file The examples of docs/methods: commands whose flags exist, and recipes that can be read. */
import { readdirSync, readFileSync } from 'node:fs';
import { parseRecipe } from '@sdft/methods';
import { describe, expect, test } from 'vitest';
import { commands } from '../src/program/commands.ts';

const folder = new URL('../../../docs/methods/', import.meta.url);
const pages = readdirSync(folder).map(
  (name) => [name, readFileSync(new URL(name, folder), 'utf8')] as const,
);
/** Commands, one a line, a backslash at the end going on. */
const examples = pages.flatMap(([page, text]) =>
  [...text.replaceAll(/\\\n\s*/g, ' ').matchAll(/^sdft (.+)$/gm)].map(
    ([, line]) => [page, line!] as const,
  ),
);
const recipes = pages.flatMap(([page, text]) =>
  [...text.matchAll(/```yaml\n([^]*?)```/g)].map(([, recipe]) => [page, recipe!] as const),
);

test('there are some', () => {
  expect(examples.length).toBeGreaterThan(10);
  expect(recipes.length).toBeGreaterThan(1);
});

describe('every flag exists:', () => {
  test.for(examples)('%s: sdft %s', async ([, line]) => {
    const args = line.split(/ (?=(?:[^"]*"[^"]*")*[^"]*$)/);
    const entry = commands.find(({ name }) => name === args[0])!;
    const command = await (await entry.load())(entry.summary, args.slice(1));
    const own = command.commands.find((one) => one.name() === args[1]) ?? command;
    const known = own.options.flatMap(({ long, short }) => [long, short]);
    expect(known).toEqual(expect.arrayContaining(args.filter((arg) => /^--?[a-z]/.test(arg))));
  });
});

describe('every recipe can be read:', () => {
  test.for(recipes)('%s', ([, recipe]) => {
    expect(parseRecipe(recipe)).toMatchObject({ base: expect.any(String) });
  });
});
