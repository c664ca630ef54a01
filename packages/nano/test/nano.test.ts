import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { attributions, classifier, heldOut, model, outline } from '../src/index.ts';

const json = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(new URL(path, model), 'utf8')) as Record<string, unknown>;

describe('the base model', () => {
  test('is whole: each part that the index names has its configuration and its weights', () => {
    const index = json('model_index.json');
    for (const part of ['unet', 'vae', 'text_encoder']) {
      expect(index[part], part).toBeDefined();
      const weights = readdirSync(new URL(`${part}/`, model)).filter((f) =>
        f.endsWith('.safetensors'),
      );
      expect(weights, part).toHaveLength(1);
      expect(existsSync(new URL(`${part}/config.json`, model)), part).toBe(true);
    }
    expect(existsSync(new URL('scheduler/scheduler_config.json', model))).toBe(true);
    for (const file of ['vocab.json', 'merges.txt']) {
      expect(existsSync(new URL(`tokenizer/${file}`, model)), file).toBe(true);
    }
  });

  test('has the sizes that the README states', () => {
    expect(json('unet/config.json')).toMatchObject({
      in_channels: 8,
      sample_size: 8,
      cross_attention_dim: 160,
    });
    expect(json('vae/config.json')).toMatchObject({ latent_channels: 8, sample_size: 64 });
    expect(json('text_encoder/config.json')).toMatchObject({
      vocab_size: 2314,
      num_hidden_layers: 3,
    });
    expect(json('scheduler/scheduler_config.json')).toMatchObject({
      prediction_type: 'epsilon',
      beta_schedule: 'scaled_linear',
    });
  });
});

describe('the outline pictures', () => {
  const names = (folder: URL, ending: string) =>
    readdirSync(folder)
      .filter((f) => f.endsWith(ending))
      .map((f) => f.slice(0, -ending.length));

  test.each([
    ['train', outline.train, 25],
    ['validation', outline.validation, 10],
  ])('%s: each has tags beside it', (_, folder, count) => {
    const pictures = names(folder, '.png');
    expect(pictures).toHaveLength(count);
    expect(names(folder, '.txt')).toEqual(pictures);
    for (const name of pictures) {
      const [subject] = readFileSync(new URL(`${name}.txt`, folder), 'utf8').split(',');
      expect(subject?.trim(), name).not.toBe('');
    }
  });

  test('what is kept back is not trained on', () => {
    const train = new Set(names(outline.train, '.png'));
    expect(names(outline.validation, '.png').filter((name) => train.has(name))).toEqual([]);
  });
});

test('the held-out pictures: eight by each artist of the base, with captions as the base knows them', () => {
  const files = readdirSync(heldOut);
  for (const artist of ['flat', 'soft', 'fluent', 'blob', 'shiny']) {
    const own = files.filter((file) => file.startsWith(`${artist}-`));
    expect(own.filter((file) => file.endsWith('.png'))).toHaveLength(8);
    for (const file of own.filter((name) => name.endsWith('.txt')))
      expect(readFileSync(new URL(file, heldOut), 'utf8')).toMatch(
        new RegExp(`^a ${artist} drawing of \\S.*\\n$`),
      );
  }
  expect(files).toHaveLength(80);
});

test('the classifier knows the six artists, says how accurate it is, and is small', () => {
  const { artists, concepts, accuracy } = JSON.parse(
    readFileSync(new URL('classifier.json', classifier), 'utf8'),
  ) as { artists: string[]; concepts: string[]; accuracy: Record<string, { artist: number }> };
  expect(artists).toEqual(['flat', 'soft', 'fluent', 'blob', 'shiny', 'outline']);
  expect(new Set(concepts).size).toBe(668);
  expect(Object.keys(accuracy)).toEqual(['pairs', 'outlines', 'learned']);
  expect(statSync(new URL('model.safetensors', classifier)).size).toBeLessThan(1.5e6);
});

test('ATTRIBUTION.md names every work of `attributions`', () => {
  const text = readFileSync(new URL('../ATTRIBUTION.md', import.meta.url), 'utf8');
  expect(
    attributions.map(({ source }) => source).filter((source) => !text.includes(source)),
  ).toEqual([]);
});
