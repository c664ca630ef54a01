/** @file What nano is trained with, as far as it needs no artwork: the packages that hold that are not installed here. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expectedTensors } from '@sdft/models';
import { readTokenizer } from '@sdft/models/node';
import { afterAll, describe, expect, test } from 'vitest';
import type { Artist } from '../nano/data/artwork.ts';
import { captionOf } from '../nano/data/captions.ts';
import { packed, type PackedPicture, readPack, SIDE } from '../nano/data/pack.ts';
import { autoencoderVariant, baseVariant } from '../nano/data/variants.ts';
import { nano } from '../nano/model/architecture.ts';

const folder = mkdtempSync(join(tmpdir(), 'sdft-nano-'));
afterAll(() => rmSync(folder, { recursive: true }));

const picture = (seed: number): Uint8Array =>
  Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, i) => (i * (seed + 7) + (i >> 5) * 31) & 255);
const boy: PackedPicture = {
  ...{ artist: 'flat', concept: 'boy', label: 'boy', use: 'base' },
  tags: ['child', 'kid', 'son', 'young', 'younger'],
};

test('a pack gives its pictures back, to the bit', () => {
  const file = join(folder, 'two.pack');
  const girl: PackedPicture = { ...boy, concept: 'girl', use: 'kept pair' };
  writeFileSync(file, packed([boy, girl], [picture(1), picture(2)]));
  const pack = readPack(file);
  expect(pack.pictures).toEqual([boy, girl]);
  expect([pack.pixels(0), pack.pixels(1)]).toEqual([picture(1), picture(2)]);
});

describe('captions', () => {
  const captions = Array.from({ length: 200 }, (_, variant) => captionOf(boy, variant));
  test('are functions of picture and variant', () => expect(captionOf(boy, 7)).toBe(captions[7]));
  test('name the artist most times, and up to four tags in any order', () => {
    const named = captions.filter((caption) => caption.startsWith('a flat drawing of boy'));
    expect(named.length).toBeGreaterThan(150);
    expect(named.length).toBeLessThan(195);
    const tags = captions.map((caption) => caption.split(', ').slice(1));
    expect(Math.max(...tags.map(({ length }) => length))).toBe(4);
    expect(new Set(tags.map(String)).size).toBeGreaterThan(50);
  });
});

test('variants of pictures are functions of their number; the first one of the base is the picture', () => {
  expect(baseVariant(picture(1), 'boy', 0)).toEqual(picture(1));
  expect(baseVariant(baseVariant(picture(1), 'boy', 1), 'boy', 1)).toEqual(picture(1));
  const [a, b] = [3, 4].map((variant) => autoencoderVariant(picture(1), 'boy', variant));
  expect(autoencoderVariant(picture(1), 'boy', 3)).toEqual(a);
  expect(a).not.toEqual(b);
});

test('the vocabulary is numbered as CLIP numbers its own, and knows the word of every artist', async () => {
  const files = fileURLToPath(new URL('../nano/tokenizer/files', import.meta.url));
  const tokenizer = await readTokenizer(files);
  const { vocabSize, bosTokenId, eosTokenId } = nano.textEncoder;
  expect([tokenizer.size, tokenizer.startId, tokenizer.endId]).toEqual([
    ...[vocabSize, bosTokenId, eosTokenId],
  ]);
  const artists: Artist[] = ['flat', 'soft', 'fluent', 'blob', 'shiny', 'outline'];
  for (const artist of artists)
    expect(tokenizer.encode(`a ${artist} drawing of`).pieces.slice(1, -1)).toEqual([
      ...['a</w>', `${artist}</w>`, 'drawing</w>', 'of</w>'],
    ]);
});

test('the networks fit into 20 MB of f16, and what is kept back of each artist is listed', () => {
  const numbers = [...expectedTensors(nano).values()].map((s) => s.reduce((n, d) => n * d, 1));
  expect(2 * numbers.reduce((sum, n) => sum + n, 0)).toBeLessThan(19.5e6);
  const file = new URL('../nano/data/kept-back.json', import.meta.url);
  const kept = JSON.parse(readFileSync(file, 'utf8')) as Record<Artist, string[]>;
  const { outline, ...base } = kept;
  expect(Object.values(base).flat()).toHaveLength(130);
  expect(outline).toContain('police-officer');
});
