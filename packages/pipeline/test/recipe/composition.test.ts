import { describe, expect, it } from 'vitest';
import { compose, resolveRecipe } from '../../src/recipe/composition.ts';
import { Problems } from '../../src/recipe/problems.ts';
import type { Recipe } from '../../src/index.ts';
import { preset, registry } from './registry.ts';

const recipe: Recipe = { base: 'nano', method: 'low-rank', rank: 4 };

describe('defaults', () => {
  it('come from the preset, then from the flavour, then from every run', () => {
    expect(resolveRecipe(recipe, preset)).toEqual({
      ...recipe,
      flavour: 'diffusers',
      optimizer: { name: 'adamw', lr: 1e-3, weightDecay: 0.02 },
      batch: 4,
      accumulate: 1,
      clipSkip: 1,
      promptSyntax: 'plain',
      emphasis: 'original',
      recompute: false,
      latentSampling: 'random',
      longPrompts: 'truncate',
      seed: expect.any(Number),
    });
  });

  it('of a1111 differ, and never replace what is said', () => {
    const said = resolveRecipe(
      {
        ...recipe,
        flavour: 'a1111',
        optimizer: { lr: 5 },
        latentSampling: 'random',
        seed: 7,
        data: { images: 'a' },
      },
      preset,
    );
    expect(said).toMatchObject({
      optimizer: { name: 'adamw', lr: 5, weightDecay: 0 },
      latentSampling: 'random',
      longPrompts: 'chunks',
      promptSyntax: 'a1111',
      data: { images: 'a', pick: 'image' },
      seed: 7,
    });
  });
});

describe('the optimizer', () => {
  const resolved = (optimizer: Recipe['optimizer'], seed = 1) =>
    resolveRecipe({ ...recipe, optimizer, seed } as Recipe, preset).optimizer;

  it("takes a preset's rate and decay only where it is the preset's own", () => {
    expect(resolved(undefined)).toEqual({ name: 'adamw', lr: 1e-3, weightDecay: 0.02 });
    expect(resolved({ beta1: 0.5 })).toMatchObject({ name: 'adamw', lr: 1e-3, beta1: 0.5 });
    expect(resolved({ name: 'adamw', lr: 1 })).toMatchObject({ lr: 1, weightDecay: 0.02 });
    expect(resolved({ name: 'prodigy' })).toEqual({ name: 'prodigy' });
    expect(resolved({ name: 'lion', lr: 1e-4 })).toEqual({ name: 'lion', lr: 1e-4 });
  });
});

describe('parts', () => {
  const composed = async (more: Partial<Recipe>) => {
    const problems = new Problems();
    const composition = await compose({ ...recipe, ...more } as Recipe, registry, {}, problems);
    problems.throw();
    return composition!;
  };

  it('are the adapters, the objective and the optimizer that a recipe names', async () => {
    const { adapters, optimizer } = await composed({ clip: '1:5, 0.5', clipMode: 'value' });
    expect(adapters.map(({ name }) => name)).toEqual(['low-rank']);
    expect(optimizer.recipe).toEqual({
      name: 'adamw',
      lr: 1e-3,
      weightDecay: 0.02,
      before: [{ name: 'clipByValue', max: '1:5, 0.5' }],
    });
    const several = await composed({
      method: undefined,
      rank: undefined,
      adapters: [
        { name: 'low-rank', rank: 1 },
        { name: 'low-rank', rank: 2 },
      ],
      objective: { name: 'denoise' },
      optimizer: { name: 'sgd', lr: 1, before: [{ name: 'clipByGlobalNorm', max: 2 }] },
    });
    expect(several.adapters).toHaveLength(2);
    expect(several.optimizer.recipe).toMatchObject({
      name: 'sgd',
      before: [{ name: 'clipByGlobalNorm', max: 2 }],
    });
  });

  it('may be an optimizer that needs no rate', async () => {
    const prodigy = await composed({ optimizer: { name: 'prodigy', dCoef: 2, decouple: false } });
    expect(prodigy.optimizer.lr).toBe(1);
    expect(prodigy.optimizer.recipe).toEqual({ name: 'prodigy', dCoef: 2, decouple: false });
    const { optimizer } = await composed({ optimizer: { name: 'adafactor' } });
    expect(optimizer.lr).toMatchObject({ at: expect.any(Function) });
  });

  it.each([
    [
      { optimizer: { name: 'adam' } },
      /optimizer.name must be one of adamw, adamw8bit, lion, adafactor, prodigy, sgd, not "adam"/,
    ],
    [
      { optimizer: { name: 'sgd', lr: 1, beta1: 0.5, weightDecay: 0 } },
      /optimizer.beta1: sgd has no such setting; it has optimizer.lr, optimizer.momentum, optimizer.nesterov, optimizer.weightDecay/,
    ],
    [{ optimizer: { name: 'lion' } }, /optimizer.lr is missing: lion has no learning rate/],
    [{ optimizer: { name: 'prodigy', d0: -1 } }, /prodigy: d0 must be more than 0, got -1/],
    [{ optimizer: { name: 'adamw', beta2: 1 } }, /adamw: beta2 must lie in \[0, 1\)/],
    [{ method: undefined, rank: undefined }, /nothing is trainable: name a method/],
    [
      { method: undefined, rank: undefined, adapters: [{ name: 'low-rank', rank: 1 }] },
      /there is no objective/,
    ],
    [
      {
        method: undefined,
        adapters: [{ name: 'low-rank', rank: 1 }],
        objective: { name: 'denoise' },
      },
      /optimizer.lr is missing/,
    ],
  ])('that do not go together are refused: %j', async (more, message) => {
    await expect(composed(more as Partial<Recipe>)).rejects.toThrow(message);
  });
});
