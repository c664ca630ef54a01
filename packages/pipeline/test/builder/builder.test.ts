import { images, withClassImages } from '@sdft/data';
import { adamw, chain, clipByGlobalNorm, type Optimizer } from '@sdft/optim';
import { describe, expect, it } from 'vitest';
import {
  type Method,
  type Objective,
  type OtherSettings,
  pipeline,
  type Pipeline,
} from '../../src/index.ts';
import { preset } from '../recipe/registry.ts';
import {
  base,
  denoise,
  goldens,
  lowRank,
  pictures,
  reports,
  stem,
  using,
} from '../support/small.ts';

const method: Method = {
  name: 'low-rank',
  options: { rank: 4 },
  adapters: [lowRank({ options: { rank: 4 } })],
  objective: denoise,
  preset,
};
const prior: Objective<'class'> = Object.assign(
  (...call: Parameters<Objective>) => denoise(...call),
  { needs: 'class' as const, recipe: { name: 'prior', weight: 1 } },
);
/** As JavaScript would call it. */
const untyped = (builder: unknown): Pipeline => builder as Pipeline;

describe('the builder', () => {
  it('is immutable: variants branch from one stem', () => {
    const one = stem.steps(10);
    const other = one.steps(20).seed(4);
    expect([one.recipe.steps, other.recipe.steps]).toEqual([10, 20]);
    expect([one.recipe.seed, other.recipe.seed]).toEqual([3, 4]);
    expect(stem.recipe.steps).toBeUndefined();
    expect(Object.isFrozen(one)).toBe(true);
  });

  it('says as plain data what a recipe file would say', () => {
    const full = pipeline()
      .model('nano')
      .data(images('photos/boy', { template: 'a drawing of {}' }))
      .method(method)
      .optimizer(adamw({ lr: 5e-3 }))
      .schedule({ name: 'cosine', warmup: 5 })
      .clip('1:5, 0.5', 'value')
      .batch(2)
      .accumulate(3)
      .flavour('a1111')
      .initFrom('first.safetensors')
      .with({ clipSkip: 2 })
      .seed(42);
    expect(full.recipe).toEqual({
      base: 'nano',
      data: { images: 'photos/boy', template: 'a drawing of {}' },
      method: 'low-rank',
      rank: 4,
      optimizer: { name: 'adamw', lr: 5e-3 },
      schedule: { name: 'cosine', warmup: 5 },
      clip: '1:5, 0.5',
      clipMode: 'value',
      batch: 2,
      accumulate: 3,
      flavour: 'a1111',
      initFrom: 'first.safetensors',
      clipSkip: 2,
      seed: 42,
    });
    expect(JSON.parse(JSON.stringify(full.recipe))).toEqual(full.recipe);
    const { method: _, rank: __, ...rest } = full.recipe;
    expect(full.adapter(lowRank({ name: 'other' })).recipe).toEqual({
      ...rest,
      adapters: [{ name: 'low-rank', rank: 4 }, { name: 'other' }],
      objective: { name: 'denoise' },
    });
    expect(full.objective(prior).recipe).toEqual({
      ...full.recipe,
      objective: { name: 'prior', weight: 1 },
    });
  });

  it("builds with the defaults of a method's preset", async () => {
    await using(pipeline().model(base).data(pictures).method(method).build(), async (run) => {
      expect(run.recipe).toMatchObject({
        batch: 4,
        flavour: 'diffusers',
        rank: 4,
        optimizer: { lr: 1e-3, weightDecay: 0.02 },
      });
      expect(run.recipe.seed).toEqual(expect.any(Number));
      expect(run.plan).toMatchObject({
        batch: 4,
        size: { width: 64, height: 64 },
        data: { pictures: 4, classPictures: 0 },
        most: undefined,
      });
      expect(run.plan.parameters).toBe(
        [...run.plan.trained.values()].reduce((n, [rows, columns]) => n + rows! * columns!, 0),
      );
      expect(run.plan.memory.total).toBeGreaterThan(run.plan.memory.weights);
      expect(run.step).toBe(0);
      expect(run.folder).toBeUndefined();
    });
  });

  it('takes optimizers that no recipe can name, and chains', async () => {
    const chained = stem.optimizer(chain(clipByGlobalNorm(1), adamw({ lr: 1e-3 })));
    expect(chained.recipe.optimizer).toEqual({
      name: 'adamw',
      lr: 1e-3,
      before: [{ name: 'clipByGlobalNorm', max: 1 }],
    });
    const signs: Optimizer = {
      lr: 1e-3,
      recipe: { name: 'signs', lr: 1e-3, odd: true },
      numbers: {},
      init: () => ({}),
      update: ({ gradients, parameters, lr }) => ({
        state: {},
        parameters: Object.fromEntries(
          Object.entries(parameters).map(([name, p]) => [
            name,
            p.sub(gradients[name]!.sign().mul(lr[name]!)),
          ]),
        ),
      }),
    };
    await using(stem.optimizer(signs).data(pictures).build(), async (run) => {
      const [before] = await run.trainables();
      await reports(run, 1);
      const [after] = await run.trainables();
      const [first, last] = [before!, after!].map((state) => [...state.values()][0]!.up!.data);
      const moved = last!.map((value, i) => value - first![i]!);
      for (const step of moved) expect(Math.abs(step)).toBeCloseTo(1e-3, 8);
    });
  });
});

describe('build', () => {
  it('names every problem at once', async () => {
    const broken = untyped(pipeline()).data(images('nowhere')).method(method).batch(0).steps(-1);
    await expect(untyped(broken).build()).rejects.toThrow(
      /^3 problems:\n- base is missing: text\n- steps must be .*, not -1\n- batch must be at least 1, not 0$/,
    );
    const lost = pipeline()
      .model('nothing-here')
      .data(images('nowhere'))
      .method(method)
      .with({ save: { out: 'a.bin', every: 1 } });
    await expect(lost.build()).rejects.toThrow(
      /4 problems:\n- save.every and preview.every need a folder.*\n- save.out a.bin.*\.safetensors.*\n- nothing-here: no such file.*\n- .*nowhere/s,
    );
  });

  it('refuses a composition that does not go together', async () => {
    await expect(untyped(stem.objective(prior).data(pictures)).build()).rejects.toThrow(
      /the objective needs pictures of the class, and the data has none.*withClassImages/,
    );
    await expect(pipeline().model(base).data(pictures).objective(denoise).build()).rejects.toThrow(
      /nothing is trainable/,
    );
    await expect(stem.build()).rejects.toThrow(/there are no pictures/);
    await expect(stem.data(pictures).schedule({ name: 'cosine' }).build()).rejects.toThrow(
      /schedule cosine needs to know how many steps the run has/,
    );
    await expect(
      stem
        .data(pictures)
        .adapter(lowRank({ at: 'unet.**.attn3.to_q' }))
        .build(),
    ).rejects.toThrow(
      /adapter low-rank: no layer is called unet.\*\*.attn3.to_q; the nearest is unet/,
    );
    await expect(stem.data(pictures).with({ clipSkip: 3 }).build()).rejects.toThrow(
      /clipSkip 3 is not possible: this text encoder has 2 layers/,
    );
    await expect(
      stem.data(images(goldens('train/images'), { resolution: '68x60' })).build(),
    ).rejects.toThrow(
      'data.resolution 68x60: one latent stands for 8 x 8 pixels, so sides must be multiples of 8: 64x56 or 72x64',
    );
    const previews: [NonNullable<OtherSettings['preview']>, RegExp][] = [
      [{ every: 5 }, /preview.prompts is missing/],
      [{ prompts: ['a boy'] }, /preview.every is missing/],
      [{ every: 5, prompts: ['a boy'], steps: 1001 }, /preview.steps 1001: the base has 1000/],
      [
        { every: 5, prompts: ['a boy'], sampler: 'foo' as 'ddim' },
        /preview.sampler must be one of/,
      ],
    ];
    for (const [preview, message] of previews)
      await expect(
        stem.data(pictures).with({ preview }).build({ logDir: 'nowhere/previews' }),
      ).rejects.toThrow(message);
    const both = withClassImages(pictures, goldens('train/class_images'));
    await using(stem.objective(prior).data(both).build(), async ({ plan }) => {
      expect(plan).toMatchObject({ batch: 4, data: { pictures: 4, classPictures: 3 } });
    });
  });

  it('refuses what an adapter or objective does wrong, naming it', async () => {
    const one = (options: Parameters<typeof lowRank>[0], objective = denoise) =>
      pipeline()
        .model(base)
        .data(pictures)
        .adapter(lowRank(options))
        .objective(objective)
        .optimizer(adamw({ lr: 1 }))
        .build();
    await expect(one({ share: () => 'all' })).rejects.toThrow(
      /layers that share "all" need up of one shape; unet.* wants \[32, 2\], another layer \[16, 2\]/,
    );
    await expect(one({ wrap: () => (x) => x.reshape([7]) })).rejects.toThrow(
      /cannot see .* as \[7\]/,
    );
    const pairs: Objective = (...call) => denoise(...call).broadcastTo([2, 1]);
    await expect(one({}, pairs)).rejects.toThrow(
      /the objective must give the loss of each of the 1 samples, f32 \[1\], or one number; it gave f32 \[2, 1\]/,
    );
    const twice: Objective = (models, batch, draw) => {
      draw.normal('noise', [3]);
      return denoise(models, batch, draw);
    };
    await expect(one({}, twice)).rejects.toThrow(
      /draw noise: asked for as normal \[3\] and as normal \[1, 4, 8, 8\]; give each draw its own name/,
    );
  });
});
