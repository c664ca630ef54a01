import { readFileSync } from 'node:fs';
import { presets } from '@sdft/methods';
import { expect, test } from 'vitest';
import { commands } from '../src/program/commands.ts';

const page = readFileSync(new URL('../../../docs/coming-from.md', import.meta.url), 'utf8');
/** What stands in the right columns: commands with their flags. */
const ours = page
  .split('\n')
  .filter((line) => /^\| (?!-|there )/.test(line))
  .flatMap((line) => [
    ...line
      .split(/(?<!\\)\|/)
      .at(-2)!
      .matchAll(/`((?:train|generate|upscale|inspect|merge|extract|resize)(?: [^`]*)?)`/g),
  ])
  .map(([, text]) => text!);

/** The page's methods: the autoencoder sees no noise and has no flags for it. */
const general = Object.keys(presets).filter((name) => name !== 'autoencoder');

/** The flags of a command as its help knows them. */
async function flagsOf(words: readonly string[]): Promise<readonly string[]> {
  const entry = commands.find(({ name }) => name === words[0])!;
  const command = await (await entry.load())(entry.summary, words.slice(1));
  const own =
    words[1] === undefined ? command : command.commands.find((c) => c.name() === words[1]);
  expect(own, words.join(' ')).toBeDefined();
  return own!.options.flatMap(({ long, short }) => [long, short]).filter((flag) => flag != null);
}

test('the page names many flags', () => {
  expect(ours.length).toBeGreaterThan(50);
});

test('every flag of ours that the page names exists, with every command that it stands behind', async () => {
  const known = new Map<string, readonly string[]>();
  for (const text of ours) {
    const [name = '', second = ''] = text.split(' ');
    const methods = second in presets ? [second] : general;
    for (const words of name === 'train' ? methods.map((method) => [name, method]) : [[name]]) {
      const key = words.join(' ');
      const flags = known.get(key) ?? (await flagsOf(words));
      known.set(key, flags);
      const named = text.split(' ').filter((word) => word.startsWith('-'));
      expect(flags, `${key}: ${text}`).toEqual(expect.arrayContaining(named));
    }
  }
  expect([...known.keys()]).toContain('generate');
});
