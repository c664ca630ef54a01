import { join } from 'node:path';
import { images, withClassImages } from '@sdft/data';
import { readFloat32, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import { adamw, sgd } from '@sdft/optim';
import type { Weight } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { metricLines, type Objective, pipeline } from '../../src/index.ts';
import {
  base,
  denoise,
  goldens,
  lowRank,
  pictures,
  reports,
  stem,
  temporaryFolder,
  trained,
  using,
} from '../support/small.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, `${name}.safetensors`);
const f32 = (values: Float32Array, shape: readonly number[]): Weight =>
  weightOf('f32', shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));

describe('steps', () => {
  it('end after the present one when they are told to, and are taken one at a time', async () => {
    await using(stem.data(pictures).steps(9).build(), async (run) => {
      const stop = new AbortController();
      const seen: number[] = [];
      for await (const { step } of run.steps(undefined, { signal: stop.signal })) {
        seen.push(step);
        if (step === 2) stop.abort();
      }
      expect(seen).toEqual([1, 2]);
      const first = run.steps(1);
      const one = first.next();
      await expect(run.steps(1).next()).rejects.toThrow(/this run is stepping already/);
      expect((await one).value!.step).toBe(3);
      await first.return();
      expect((await reports(run, 1)).map(({ step }) => step)).toEqual([4]);
      await expect(reports(run, -1)).rejects.toThrow(/steps: must be a whole number/);
      expect(await reports(run, 0)).toEqual([]);
    });
    await using(stem.data(pictures).build(), async (run) => {
      await expect(reports(run)).rejects.toThrow(/steps: say how many/);
    });
  });

  it("end where A1111's rates run out, and say so beforehand", async () => {
    const short = stem
      .data(pictures)
      .optimizer(adamw({ lr: '1e-2:1, 1e-3:2' }))
      .steps(5);
    await using(short.build(), async (run) => {
      expect(run.plan.most).toBe(2);
      expect(run.plan.warnings.join()).toMatch(/the run ends after 2 of 5 steps/);
      expect((await reports(run)).map(({ lr }) => lr)).toEqual([1e-2, 1e-3]);
    });
  });

  it('move nothing at rate 0, with which a warm-up begins', async () => {
    await using(
      stem.data(pictures).schedule({ name: 'linear', warmup: 2 }).steps(4).build(),
      async (run) => {
        const before = await trained(run);
        const [first] = await reports(run, 1);
        expect(first!.lr).toBe(0);
        expect(await trained(run)).toEqual(before);
        await reports(run, 1);
        expect(await trained(run)).not.toEqual(before);
      },
    );
  });
});

describe('recompute', () => {
  it('changes memory, not results', async () => {
    const losses = (recompute: boolean) =>
      using(stem.data(pictures).with({ recompute }).build(), async (run) => ({
        activations: run.plan.memory.activations,
        losses: (await reports(run, 3)).map(({ loss }) => loss),
      }));
    const [kept, again] = [await losses(false), await losses(true)];
    expect(again.activations).toBeLessThan(kept.activations);
    again.losses.forEach((loss, i) => expect(loss / kept.losses[i]!).toBeCloseTo(1, 6));
  });
});

describe('accumulation', () => {
  it('of two halves is a step over the whole batch', async () => {
    const whole = at('whole');
    // Plain descent shows the gradient itself, which Adam would scale away.
    const described = stem.optimizer(sgd({ lr: 0.1 })).batch(4);
    const once = await using(described.data(pictures).build({ record: whole }), async (run) => ({
      reports: await reports(run, 2),
      values: await trained(run),
    }));
    const halves = new Map<string, Weight>();
    for (const [name, weight] of openSafetensors(whole).tensors) {
      const [k, what] = [Number(name.split('.')[0]), name.split('.')[1]!];
      const half = weight.read().length / 2;
      for (const part of [0, 1])
        halves.set(
          `${2 * k + part}.${what}`,
          weightOf(
            weight.dtype,
            [2, ...weight.shape.slice(1)],
            weight.read().slice(part * half, (part + 1) * half),
          ),
        );
    }
    await writeSafetensors(at('halves'), halves);
    await using(described.accumulate(2).build({ replay: at('halves') }), async (run) => {
      const twice = await reports(run);
      expect(twice).toHaveLength(2);
      twice.forEach((report, i) => {
        const { loss, gradNorm } = once.reports[i]!;
        expect(report.losses).toHaveLength(2);
        // Each of the two is a mean over its own pictures, before division.
        expect(report.loss / loss).toBeCloseTo(1, 5);
        expect((report.losses[0]! + report.losses[1]!) / 2).toBe(report.loss);
        expect(report.gradNorm / gradNorm).toBeCloseTo(1, 4);
      });
      const values = await trained(run);
      const moved = Math.max(...once.values.map(Math.abs));
      values.forEach((value, i) =>
        expect(Math.abs(value - once.values[i]!)).toBeLessThan(2e-6 * moved),
      );
      expect(metricLines(twice[1]!)).toEqual([
        expect.objectContaining({ step: 2, microStep: 2, loss: twice[1]!.losses[0] }),
        expect.objectContaining({ step: 2, microStep: 3, loss: twice[1]!.losses[1] }),
      ]);
    });
  });
});

describe('a loss that is not finite', () => {
  it.each([1, 2])(
    'stops the run and leaves what was trained unharmed (accumulate %i)',
    async (accumulate) => {
      const path = at(`nan-${accumulate}`);
      await using(stem.data(pictures).build({ record: path }), (run) => reports(run, 4));
      const tensors = new Map(openSafetensors(path).tensors);
      for (let k = 0; k < 4; k++)
        tensors.set(
          `${k}.weight`,
          f32(new Float32Array(64).fill(k === 3 ? Number.NaN : 1), [1, 1, 8, 8]),
        );
      await writeSafetensors(at(`nan-${accumulate}-weighed`), tensors);
      await using(
        stem.accumulate(accumulate).build({ replay: at(`nan-${accumulate}-weighed`) }),
        async (run) => {
          await reports(run, (3 / accumulate) | 0);
          const before = await trained(run);
          await expect(reports(run, 1)).rejects.toThrow(
            /micro-step 3\): the loss is NaN. What was trained is as after step \d, unharmed. Lower the learning rate/,
          );
          expect(await trained(run)).toEqual(before);
          expect(before.every(Number.isFinite)).toBe(true);
        },
      );
    },
  );
});

describe('a run that would learn nothing', () => {
  const deaf = lowRank({ name: 'deaf', wrap: (layer) => (x) => layer(x) });
  const described = pipeline()
    .model(base)
    .data(pictures)
    .objective(denoise)
    .optimizer(adamw({ lr: 1e-2 }));

  it('is refused where the loss does not depend on what is trained', async () => {
    await expect(described.adapter(deaf).build()).rejects.toThrow(
      /the loss does not depend on any trainable \(deaf\/unet.*\): nothing would be learned/,
    );
  });

  it('says what keeps its first values, and keeps them, whatever the weight decay', async () => {
    // With clip skip 2 nobody reads the last layer of the text encoder.
    const text = lowRank({ name: 'text', at: 'text_encoder.**.layers.{0,1}.**.q_proj' });
    const skipping = described
      .adapter(text)
      .with({ clipSkip: 2 })
      .optimizer(adamw({ lr: 1e-2, weightDecay: 0.5 }));
    await using(skipping.build(), async (run) => {
      expect(run.plan.warnings.join()).toMatch(
        /no gradient reaches 2 of 4 trainables, which keep their first values: text\/text_encoder.*layers.1/,
      );
      expect(run.plan.trained.size).toBe(2);
      const [before] = await run.trainables();
      await reports(run, 2);
      const [after] = await run.trainables();
      const [first, last] = [...after!.keys()];
      expect(after!.get(last!)!['down']!.data).toEqual(before!.get(last!)!['down']!.data);
      expect(after!.get(first!)!['down']!.data).not.toEqual(before!.get(first!)!['down']!.data);
    });
  });

  it('is stopped where no gradient ever arrives', async () => {
    const silent: Objective = (models, batch, draw) => denoise(models, batch, draw).mul(0);
    await using(stem.objective(silent).data(pictures).build(), async (run) => {
      await expect(reports(run, 9)).rejects.toThrow(
        /no gradient reached .* in the first 5 steps: nothing is learned/,
      );
      expect(run.step).toBe(4);
    });
  });
});

describe('data', () => {
  it('gives class pictures after the instances to objectives that need them', async () => {
    const seen: number[] = [];
    const prior: Objective<'class'> = Object.assign(
      (...[models, batch, draw]: Parameters<Objective>) => {
        seen.push(batch.instances, batch.size);
        return denoise(models, batch, draw);
      },
      { needs: 'class' as const },
    );
    const both = withClassImages(
      images(goldens('train/images'), { resolution: 64 }),
      goldens('train/class_images'),
      {
        caption: 'a picture',
      },
    );
    const path = at('classes');
    await using(stem.objective(prior).data(both).build({ record: path }), (run) => reports(run, 1));
    expect(seen).toEqual([2, 4]);
    expect(openSafetensors(path).tensors.get('0.pixel_values')!.shape).toEqual([4, 3, 64, 64]);
    await using(stem.objective(prior).build({ replay: path }), (run) => reports(run, 1));
    // The last two are no instances, which the graph need not know.
    expect(seen).toEqual([2, 4, 2, 4]);
  });

  it('is sampled as it is told to: once for all, or at its mean', async () => {
    const noise = async (sampling: 'once' | 'deterministic' | 'random') => {
      const path = at(sampling);
      const described = stem.data(images(goldens('train/class_images'), { resolution: 64 }));
      await using(
        described.batch(3).with({ latentSampling: sampling }).build({ record: path }),
        (run) => reports(run, 2),
      );
      const { tensors } = openSafetensors(path);
      const of = (k: number, what: string) => readFloat32(tensors.get(`${k}.${what}`)!);
      // An epoch has three pictures: each micro-step shows all of them, in an order of its own.
      return [0, 1].map((k) => {
        const pixels = of(k, 'pixel_values');
        const drawn = of(k, 'posterior_noise');
        const pairs = [0, 1, 2].map((i) => ({
          picture: pixels.slice(i * 12288, (i + 1) * 12288).join(),
          noise: [...drawn.slice(i * 256, (i + 1) * 256)],
        }));
        return pairs.sort((a, b) => (a.picture < b.picture ? -1 : 1)).map(({ noise: own }) => own);
      });
    };
    const [first, second] = await noise('once');
    expect(first).toEqual(second);
    expect(first![0]).not.toEqual(first![1]);
    expect((await noise('deterministic')).flat(2).every((z) => z === 0)).toBe(true);
    const [one, other] = await noise('random');
    expect(one).not.toEqual(other);
  });
});
