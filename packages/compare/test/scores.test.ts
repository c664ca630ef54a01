import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { heldOut, outline } from '@sdft/nano';
import ndarray, { type NdArray } from 'ndarray';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Classifier, conceptIn, firstOf, type Judgement, scoresOf } from '../src/index.ts';
import { openClassifier } from '../src/node/index.ts';

/** Pictures of a folder by their names. */
async function picturesOf(folder: URL): Promise<Map<string, NdArray<Uint8Array>>> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.png'));
  const read = async (name: string) => {
    const path = fileURLToPath(new URL(name, folder));
    const data = await sharp(path).removeAlpha().toColourspace('srgb').raw().toBuffer();
    return [name.slice(0, -4), ndarray(new Uint8Array(data), [64, 64, 3])] as const;
  };
  return new Map(await Promise.all(names.map(read)));
}

describe('the classifier', () => {
  let classifier: Classifier;
  beforeAll(async () => {
    classifier = await openClassifier();
  });
  afterAll(() => classifier[Symbol.asyncDispose]());

  test('tells hands and concepts of pictures that it never saw far more often than by chance', async () => {
    const pictures = await picturesOf(heldOut);
    const judgements = await classifier.classify([...pictures.values()]);
    const wanted = [...pictures.keys()].map((name) => {
      const dash = name.indexOf('-');
      return { artist: name.slice(0, dash), concept: name.slice(dash + 1) };
    });
    const { style } = scoresOf(
      wanted.map(({ artist }, i) => ({ artist, judgements: [judgements[i]!] })),
    );
    // Chance is a sixth, and one in 668.
    expect(style).toBeGreaterThan(0.4);
    const named = wanted.filter(
      ({ concept }, i) => slug(firstOf(judgements[i]!.concept)) === concept,
    );
    expect(named.length / wanted.length).toBeGreaterThan(0.2);
    for (const { artist } of judgements)
      expect(Object.values(artist).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
  });

  test('knows the artist whom the base never saw', async () => {
    const pictures = await picturesOf(outline.validation);
    const judgements = await classifier.classify([...pictures.values()]);
    const { style } = scoresOf([{ artist: 'outline', judgements }]);
    expect(style).toBeGreaterThan(0.8);
  });

  test('judges a picture alike alone and among others', async () => {
    const pictures = [...(await picturesOf(outline.validation)).values()].slice(0, 9);
    const [alone] = await classifier.classify(pictures.slice(8));
    const together = await classifier.classify(pictures);
    expect(together[8]!.features).toEqual(alone!.features);
  });

  test('refuses pictures of another size', async () => {
    const large = ndarray(new Uint8Array(3 * 128 * 128), [128, 128, 3]);
    await expect(classifier.classify([large])).rejects.toThrow(
      /picture 0 must be sRGB bytes \[64, 64, 3\], got \[128, 128, 3\]/,
    );
  });
});

test('a folder without a classifier is refused', async () => {
  await expect(openClassifier(fileURLToPath(outline.train))).rejects.toThrow(
    /classifier\.json: cannot be read/,
  );
});

describe('figures', () => {
  const judgement = (artist: string, concept: string, features: number[]): Judgement => ({
    artist: { flat: artist === 'flat' ? 0.9 : 0.1, soft: artist === 'soft' ? 0.9 : 0.1 },
    concept: { dog: concept === 'dog' ? 0.6 : 0.4, cat: concept === 'cat' ? 0.6 : 0.4 },
    features: Float32Array.from(features),
  });

  test('style and concept are shares of the pictures whose prompts ask for them', () => {
    const scores = scoresOf([
      { artist: 'flat', concept: 'dog', judgements: [judgement('flat', 'cat', [1, 0])] },
      {
        artist: 'soft',
        judgements: [judgement('flat', 'dog', [1, 0]), judgement('soft', 'dog', [1, 0])],
      },
      { concept: 'cat', judgements: [judgement('soft', 'cat', [1, 0])] },
    ]);
    expect(scores).toEqual({ style: 2 / 3, concept: 0.5, diversity: 0, pictures: 4 });
  });

  test('diversity is the mean distance of the pictures of a prompt, and not of several', () => {
    const [a, b, c] = [
      [2, 0],
      [0, 3],
      [1, 0],
    ].map((f) => judgement('flat', 'dog', f));
    // Pairs ab, ac, bc: 1, 0, 1.
    expect(scoresOf([{ judgements: [a!, b!, c!] }, { judgements: [b!] }]).diversity).toBeCloseTo(
      2 / 3,
      6,
    );
  });

  test('what nobody asks for has no figure', () => {
    expect(scoresOf([{ judgements: [judgement('flat', 'dog', [1, 0])] }])).toEqual({
      style: undefined,
      concept: undefined,
      diversity: undefined,
      pictures: 1,
    });
  });
});

test.each([
  ['a flat drawing of a woman singer', 'woman singer'],
  ['A drawing of Cat-face, smiling', undefined],
  ['a man on a horse', 'man'],
  ['a horse and a man', 'horse'],
  ["a rescue worker's helmet", "rescue worker's helmet"],
  ['a woman: blond hair', 'woman: blond hair'],
  ['manhole', undefined],
])('%s names %s', (prompt, concept) => {
  const concepts = ['man', 'woman', 'woman singer', "rescue worker's helmet"];
  expect(conceptIn(prompt, [...concepts, 'woman: blond hair', 'cat face', 'horse'])).toBe(concept);
});

const slug = (label: string): string =>
  label
    .toLowerCase()
    .replace(/[’'.:,]/g, '')
    .replace(/[^a-z0-9]+/g, '-');
