import { beforeAll, describe, expect, it } from 'vitest';
import {
  images,
  pipeline,
  textualInversion,
  type TextualInversionOptions,
  adamw,
} from '../../src/index.ts';
import { parseVectorInit } from '../../src/textual-inversion/initialVectors.ts';
import { goldens, tensor, using, vectors } from '../support/fixtures.ts';

const data = images(goldens('train/images'), { resolution: 64, template: 'a photo of {}' });
const first = (
  options: Omit<TextualInversionOptions, 'token'>,
  flavour: 'diffusers' | 'a1111' = 'diffusers',
  seed = 1,
) =>
  using(
    pipeline()
      .model(goldens('tiny-sd'))
      .data(data)
      .flavour(flavour)
      .method(textualInversion({ token: '<x>', ...options }))
      .optimizer(adamw({ lr: 1e-3 }))
      .seed(seed)
      .build(),
    async (run) => [...(await vectors(run))],
  );

let table: Float32Array;
const row = (id: number): number[] => [...table.slice(12 * id, 12 * id + 12)];
const [oil, painting, style, cup] = [2870, 3086, 1844, 1937];
beforeAll(() => {
  table = tensor(
    goldens('tiny-sd/text_encoder/model.safetensors'),
    'text_model.embeddings.token_embedding.weight',
  );
});

describe('vectors start', () => {
  it('as copies of the row of a word', async () => {
    expect(await first({ init: 'cup', vectors: 2 })).toEqual([...row(cup), ...row(cup)]);
  });

  it('as A1111 spreads a text over them: its own result, and texts shorter and longer', async () => {
    const expected = [...tensor(goldens('train/ti_a1111/initial.safetensors'), 'vec')];
    expect(await first({ init: 'oil painting style', vectors: 2 }, 'a1111')).toEqual(expected);
    expect(expected).toEqual([...row(oil), ...row(painting)]);
    expect(await first({ init: 'text:"oil painting style"', vectors: 5 })).toEqual(
      [oil, oil, painting, painting, style].flatMap(row),
    );
    expect(await first({ init: 'text:cup', vectors: 1 })).toEqual(row(cup));
    expect(await first({ init: 'text:', vectors: 2 })).toEqual(new Array(24).fill(0));
  });

  it('as zeros, or random with a deviation and the seed', async () => {
    expect(await first({ init: 'zeros' })).toEqual(new Array(12).fill(0));
    const random = await first({ init: 'random:0.5', vectors: 75 });
    const deviation = Math.sqrt(random.reduce((sum, value) => sum + value ** 2, 0) / random.length);
    expect(deviation).toBeGreaterThan(0.45);
    expect(deviation).toBeLessThan(0.55);
    expect(await first({ init: 'random:0.5', vectors: 75 })).toEqual(random);
    expect(await first({ init: 'random:0.5', vectors: 75 }, 'diffusers', 2)).not.toEqual(random);
    const own = await first({ init: 'random', vectors: 75 });
    const [from, to] = [own, [...table]].map((values) =>
      Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length),
    );
    expect(from! / to!).toBeCloseTo(1, 0);
  });

  it('not as a word of several tokens, which are named', async () => {
    await expect(first({ init: 'oil painting' })).rejects.toThrow(
      /init "oil painting" is 2 tokens of this vocabulary \(oil<\/w> painting<\/w>\).*text:"oil painting"/,
    );
    await expect(first({})).rejects.toThrow(
      /init is missing: say what the vectors of <x> start as/,
    );
  });
});

describe('the setting', () => {
  it.each([
    ['boy', { kind: 'word', word: 'boy' }],
    ['zeros', { kind: 'zeros' }],
    ['random', { kind: 'random', std: undefined }],
    ['random:0.02', { kind: 'random', std: 0.02 }],
    ['text:a b', { kind: 'text', text: 'a b' }],
    ['text:"a "b""', { kind: 'text', text: 'a "b"' }],
  ])('%s is read', (setting, expected) => {
    expect(parseVectorInit(setting)).toEqual(expected);
  });
  it.each([
    ['random:', /a standard deviation is expected/],
    ['random:-1', /a standard deviation is expected/],
    [' ', /init is empty/],
  ])('"%s" is refused', (setting, message) => {
    expect(() => parseVectorInit(setting)).toThrow(message);
  });
  it.each([
    [{ token: '' }, /token is missing/],
    [{ token: '<x>', vectors: 0 }, /vectors must be a whole number from 1 to 75, got 0/],
    [{ token: '<x>', vectors: 76 }, /from 1 to 75/],
    [{ token: '<x>', snrGamma: -1 }, /snrGamma must be positive/],
  ])('%j is refused', (options, message) => {
    expect(() => textualInversion(options)).toThrow(message);
  });
});
