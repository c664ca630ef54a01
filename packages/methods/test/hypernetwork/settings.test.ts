import { describe, expect, test } from 'vitest';
import { hypernetwork, type HypernetworkOptions, parseRecipe, presets } from '../../src/index.ts';
import { hypernetworkPreset } from '../../src/hypernetwork/hypernetwork.ts';

describe('settings out of range are refused', () => {
  test.for([
    [{ layerStructure: '1, 2' }, /must begin and end with 1/],
    [{ layerStructure: '2, 1' }, /must begin and end with 1/],
    [{ layerStructure: [1] }, /two or more positive numbers/],
    [{ layerStructure: '1, x, 1' }, /two or more positive numbers/],
    [{ layerStructure: '1, -2, 1' }, /two or more positive numbers/],
    [{ activation: 'rleu' }, /activation "rleu" is unknown; did you mean/],
    [{ activation: 'Tanh' }, /did you mean tanh\?/],
    [{ activation: 'glu' }, /halves its input/],
    [{ activation: 'multiheadattention' }, /is no activation/],
    [{ activation: 'threshold' }, /needs settings/],
    [{ dropoutStructure: '0, 0.1' }, /as many numbers as layerStructure/],
    [{ dropoutStructure: '0, 1, 0' }, /less than 1/],
    [{ dropoutStructure: '0, 0.1, 0.1' }, /must begin and end with 0/],
    [{ sizes: '12.5' }, /must be whole numbers/],
    [{ shallowPenalty: 1 }, /say modules: layer/],
    [{ shallowPenalty: -1, modules: 'layer' }, /0 or more/],
    [{ optimizerState: true, modules: 'layer' }, /no place for modules of single layers/],
    [{ weightInit: 'Kaiming' as 'KaimingNormal' }, /weightInit "Kaiming" is unknown/],
  ] satisfies [HypernetworkOptions, RegExp][])('%o', ([options, message]) => {
    expect(() => hypernetwork(options)).toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringMatching(message) }),
    );
  });
});

test('a recipe says all of it, and is told everything that is wrong at once', () => {
  const recipe = {
    base: 'nano',
    method: 'hypernetwork',
    data: { images: 'photos' },
    layerStructure: [1, 2, 1],
    activation: 'swish',
    layerNorm: true,
    dropoutStructure: '0, 0.1, 0',
    weightInit: 'KaimingNormal',
    sizes: [768, 320],
    modules: 'layer',
    shallowPenalty: 0.1,
  };
  expect(parseRecipe(recipe)).toMatchObject(recipe);
  expect(() =>
    parseRecipe({ ...recipe, layerStructure: '2, 1', activation: 'reluu', layernorm: true }),
  ).toThrow(/layernorm; did you mean layerNorm/);
  expect(() => parseRecipe({ ...recipe, layerStructure: '2, 1', activation: 'reluu' })).toThrow(
    /layerStructure[\s\S]*activation "reluu"[\s\S]*dropoutStructure/,
  );
});

test("the defaults are A1111's", () => {
  expect(presets['hypernetwork']).toBe(hypernetworkPreset);
  expect(hypernetworkPreset.flavours).toEqual(['a1111']);
  expect(hypernetworkPreset.defaults('a1111', { base: 'nano' }).optimizer).toEqual({
    name: 'adamw',
    lr: 1e-5,
    weightDecay: 0.01,
  });
});
