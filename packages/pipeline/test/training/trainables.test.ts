import type { Layer } from '@sdft/models';
import { describe, expect, it } from 'vitest';
import { layerGlob } from '../../src/training/layerGlob.ts';
import { adapterNames, attach } from '../../src/training/trainables.ts';
import { lowRank } from '../support/small.ts';

const block = 'unet.down_blocks.0.attentions.0.transformer_blocks.0';
const paths = [
  `${block}.attn1.to_q`,
  `${block}.attn2.to_q`,
  `${block}.attn2.to_k`,
  `${block}.attn2.to_out.0`,
  'unet.conv_in',
  'text_encoder.text_model.encoder.layers.1.self_attn.q_proj',
];
const layers = paths.map(
  (path, i): Layer => ({
    path,
    kind: 'linear',
    in: 4 + i,
    out: 8,
    parameters: { weight: [8, 4 + i] },
  }),
);

describe('a glob over layer paths', () => {
  const met = (globs: string | string[]) =>
    paths.filter(layerGlob(globs)).map((path) => path.split('.').slice(-2).join('.'));
  it.each([
    ['unet.**.attn2.to_{k,q}', ['attn2.to_q', 'attn2.to_k']],
    ['unet.**.attn2.*', ['attn2.to_q', 'attn2.to_k']],
    ['unet.**.to_out.0', ['to_out.0']],
    ['unet.*', ['unet.conv_in']],
    [
      '**',
      ['attn1.to_q', 'attn2.to_q', 'attn2.to_k', 'to_out.0', 'unet.conv_in', 'self_attn.q_proj'],
    ],
    ['**.layers.1.**', ['self_attn.q_proj']],
    ['to_q', []],
  ])('%s', (glob, expected) => {
    expect(met(glob)).toEqual(expected);
  });
  it('may be several', () => {
    expect(met(['unet.conv_in', '**.q_proj'])).toEqual(['unet.conv_in', 'self_attn.q_proj']);
  });
  it('may take paths out again, wherever that is said', () => {
    const expected = ['attn1.to_q', 'attn2.to_q', 'unet.conv_in'];
    expect(met(['!**.to_{k,out}.**', 'unet.**', '!**.to_k'])).toEqual(expected);
  });
});

describe('attaching', () => {
  it('names trainables by adapter, layer and parameter', () => {
    const { trainables, at, text } = attach([lowRank({ at: '**.attn2.to_{q,k}' })], layers);
    expect(trainables.map(({ name, initial }) => [name, initial.shape])).toEqual([
      [`low-rank/${block}.attn2.to_q/down`, [2, 5]],
      [`low-rank/${block}.attn2.to_q/up`, [8, 2]],
      [`low-rank/${block}.attn2.to_k/down`, [2, 6]],
      [`low-rank/${block}.attn2.to_k/up`, [8, 2]],
    ]);
    expect([...at.keys()]).toEqual([`${block}.attn2.to_q`, `${block}.attn2.to_k`]);
    expect(text).toBe(false);
  });

  it('keeps adapters at one layer in their order, also under one name', () => {
    const twice = [lowRank({ at: 'unet.conv_in' }), lowRank({ at: ['unet.conv_in', '**.q_proj'] })];
    expect(adapterNames(twice)).toEqual(['low-rank', 'low-rank-2']);
    const { at, text, trainables } = attach(twice, layers);
    expect(at.get('unet.conv_in')!.map(({ adapter }) => adapter)).toEqual([0, 1]);
    expect(new Set(trainables.map(({ name }) => name)).size).toBe(6);
    expect(text).toBe(true);
  });

  it('lets layers share', () => {
    const shared = lowRank({
      at: 'unet.**.to_*',
      share: (layer) => String(layer.out),
      init: () => ({
        scale: {
          shape: [1],
          values: () => {
            throw new Error('not asked');
          },
        },
      }),
    });
    const { trainables, at } = attach([shared], layers);
    expect(trainables.map(({ name }) => name)).toEqual(['low-rank/8/scale']);
    expect([...at.values()].flat().map(({ key }) => key)).toEqual(['8', '8', '8']);
  });

  it('refuses a glob that matches nothing', () => {
    expect(() => attach([lowRank({ at: 'unet.**.attn2.to_kk' })], layers)).toThrow(
      /no layer is called unet.\*\*.attn2.to_kk; the nearest is unet/,
    );
  });
});
