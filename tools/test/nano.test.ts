/** @file What nano is trained with, as far as it needs no artwork: the packages that hold that are not installed here. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expectedTensors } from '@sdft/models';
import { readTokenizer } from '@sdft/models/node';
import { draws } from '@sdft/tensor';
import { afterAll, describe, expect, test } from 'vitest';
import type { Artist } from '../nano/data/artwork.ts';
import { captionOf } from '../nano/data/captions.ts';
import { packed, type PackedPicture, readPack, SIDE } from '../nano/data/pack.ts';
import { classifierVariant } from '../nano/classifier/variants.ts';
import { splitOf } from '../nano/classifier/pictures.ts';
import { autoencoderVariant, baseVariant, decoderVariant } from '../nano/data/variants.ts';
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

test('half of what the decoder learns are pictures as they are, and each variant differs', () => {
  const made = Array.from({ length: 24 }, (_, v) => String(decoderVariant(picture(1), 'boy', v)));
  expect(new Set(made).size).toBe(24);
  const plain = [0, 4, 8, 12, 16].map((v) => String(autoencoderVariant(picture(1), 'boy', v)));
  expect(made.slice(0, 9).filter((one) => plain.includes(one))).toHaveLength(5);
});

describe('the classifier learns from', () => {
  test('no pair that is kept back, and not from all drawings of the unseen artist', () => {
    const names = Array.from({ length: 200 }, (_, i) => `concept-${i}`);
    const pictures = names.flatMap((concept): PackedPicture[] => [
      { ...boy, concept, label: concept, use: concept.endsWith('7') ? 'kept pair' : 'base' },
      {
        ...boy,
        concept,
        artist: 'outline',
        use: concept.endsWith('3') ? 'kept outline' : 'autoencoder',
      },
    ]);
    const { train, pairs, outlines } = splitOf({ pictures, pixels: () => picture(1) });
    expect(pairs.map((index) => pictures[index]!.use)).toEqual(Array(20).fill('kept pair'));
    expect(outlines.length).toBeGreaterThan(25);
    expect(outlines.length).toBeLessThan(60);
    expect(train.filter((index) => pictures[index]!.use.startsWith('kept'))).toEqual([]);
    expect(train.length + pairs.length + outlines.length).toBe(400);
  });

  test('variants within -1..1 that are functions of their number, on paper that stays white', () => {
    const variant = (counter: number, from = picture(1)) => {
      const to = new Float32Array(3 * SIDE * SIDE);
      classifierVariant(from, to, draws(0), 'variant', counter);
      return to;
    };
    expect(variant(3)).toEqual(variant(3));
    expect(variant(3)).not.toEqual(variant(4));
    for (let counter = 0; counter < 20; counter++)
      expect(Math.max(...variant(counter).map(Math.abs))).toBeLessThanOrEqual(1);
    const paper = Array.from({ length: 20 }, (_, v) => variant(v, picture(1).fill(255)));
    expect(
      Math.min(...paper.map((one) => one.reduce((a, x) => a + x, 0) / one.length)),
    ).toBeGreaterThan(0.8);
  });
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
