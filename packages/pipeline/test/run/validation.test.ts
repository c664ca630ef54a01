/** @file The validation loss: held against diffusers (tools/validation), and beside the training that it must not touch. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { images } from '@sdft/data';
import { adamw } from '@sdft/optim';
import { describe, expect, it } from 'vitest';
import {
  baseHash,
  type Objective,
  openBase,
  pipeline,
  type Report,
  type Run,
  type Summary,
  validationLoss,
} from '../../src/index.ts';
import {
  base,
  goldens,
  lowRank,
  pathOf,
  pictures,
  reports,
  stem,
  temporaryFolder,
  trained,
  upscaler,
  using,
} from '../support/small.ts';

const folder = temporaryFolder();
const theirs = JSON.parse(readFileSync(pathOf('fixtures/validation/losses.json'), 'utf8')) as {
  readonly captions: readonly string[];
  readonly epsilon: Readonly<Record<string, number>>;
  readonly v: Readonly<Record<string, number>>;
};
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const kept = goldens('train/class_images');
const plain = stem.data(pictures).steps(5);
const validated = plain.validation(kept, { every: 2, draws: 3 });

interface Line {
  readonly step: number;
  readonly loss?: number;
  readonly validationLoss?: number;
  readonly seconds: number;
}
const metrics = (run: string): Line[] =>
  readFileSync(join(folder, run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
/** What does not depend on the clock. */
const untimed = (run: string) => metrics(run).map(({ seconds: _, ...line }) => line);

describe('the validation loss', () => {
  it.each(['epsilon', 'v'] as const)('is that of diffusers (%s)', async (predictionType) => {
    const loss = await validationLoss(await openBase(base, { predictionType }), [], {
      ...{ images: goldens('train/images'), resolution: 64, template: [...theirs.captions] },
    });
    expect(loss).toBeCloseTo(mean(Object.values(theirs[predictionType])), 5);
  });

  it('is one number for every seed, batch and method', async () => {
    const first = async (described: typeof plain): Promise<number> =>
      using(described.build(), async (run) => (await reports(run, 1))[0]!.validationLossBefore!);
    // What is trained starts as no change.
    const other = stem.adapter(lowRank({ name: 'other', at: 'unet.**.attn1.to_q' }));
    const loss = await first(validated.batch(3));
    expect(await first(other.data(pictures).seed(9).validation(kept, { draws: 3 }))).toBe(loss);
    const settings = { images: kept, resolution: 64, draws: 3 } as const;
    expect(await validationLoss(await openBase(base), [], settings)).toBe(loss);
  });

  it('is that of what was learned, of the text side and as running averages, too', async () => {
    const text = lowRank({ name: 'text', at: 'text_encoder.**.q_proj' });
    const described = stem.adapter(text).data(pictures).ema({ decay: 0.5 }).validation(kept);
    await using(described.build(), async (run) => {
      const [first, second] = await reports(run, 2);
      expect(second!.validationLoss).not.toBe(first!.validationLossBefore);
      const files = await run.save(join(folder, 'learned.safetensors'));
      const learned = [lowRank(), text].map((adapter, i) => ({ adapter, file: files[i]! }));
      const loss = await validationLoss(await openBase(base), learned, {
        ...{ images: kept, resolution: 64 },
      });
      expect(loss).toBe(second!.validationLoss);
    });
  });
});

describe('a run that is validated', () => {
  const told = ({ step, loss, losses, lr, gradNorm }: Report) => ({
    ...{ step, loss, losses, lr, gradNorm },
  });
  const whole = async (described: typeof plain, logDir: string) =>
    using(described.build({ logDir }), async (run) => ({
      reports: (await reports(run)).map(told),
      values: await trained(run),
    }));

  it('trains bit for bit as without, and tells the loss before, every so often, and at the end', async () => {
    const without = await whole(plain, join(folder, 'without'));
    const with_ = await whole(validated, join(folder, 'with'));
    expect(with_).toEqual(without);
    expect(untimed('with').filter(({ loss }) => loss !== undefined)).toEqual(untimed('without'));
    expect(untimed('with').map((line) => [line.step, line.validationLoss !== undefined])).toEqual([
      ...[
        [0, true],
        [1, false],
        [2, false],
        [2, true],
        [3, false],
      ],
      ...[
        [4, false],
        [4, true],
        [5, false],
        [5, true],
      ],
    ]);
    const seconds = metrics('with').map((line) => line.seconds);
    expect(seconds[0]).toBe(0);
    expect(seconds.slice(1).every((value, i) => value >= seconds[i]!)).toBe(true);
    expect(seconds.at(-1)).toBeGreaterThan(0);
  });

  it('is resumed with no line twice and none missing, wherever it was interrupted', async () => {
    const logDir = join(folder, 'parts');
    const part = async (work: (run: Run) => Promise<unknown>) =>
      using(validated.build({ logDir, resume: existsSync(logDir) }), async (run) => {
        if (existsSync(logDir)) await run.resume();
        await work(run);
      });
    // After its first step no state was saved: it begins again, and the loss before it is known.
    await part((run) => reports(run, 1));
    await part(async (run) => {
      const [first] = await reports(run, 1);
      expect(first!.validationLossBefore).toBeUndefined();
      // Interrupted while the loss after step 2 is computed, which is made up for later.
      const stop = new AbortController();
      const steps = run.steps(1, { signal: stop.signal });
      const next = steps.next();
      const taken = setInterval(() => {
        if (run.step === 2) stop.abort();
      }, 0);
      const { value } = await next;
      clearInterval(taken);
      expect(value!.step).toBe(2);
      expect(value!.validationLoss).toBeUndefined();
      await run.saveState();
    });
    await part((run) => reports(run, 3));
    expect(untimed('parts')).toEqual(untimed('with'));
    const { seconds } = metrics('parts').at(-1)!;
    expect(seconds).toBeGreaterThan(metrics('parts').find(({ step }) => step === 2)!.seconds);
  });

  it('says at its end what it came to', async () => {
    const logDir = join(folder, 'summed');
    const file = join(folder, 'summed.safetensors');
    await using(plain.with({ save: { out: file, every: 2 } }).build({ logDir }), async (run) => {
      await reports(run, 3);
      expect(existsSync(join(logDir, 'summary.json'))).toBe(false);
      await run.save();
    });
    const summary = JSON.parse(readFileSync(join(logDir, 'summary.json'), 'utf8')) as Summary;
    const { hash } = summary.base;
    expect(summary).toEqual({
      base: { name: base, hash },
      method: 'low-rank',
      parameters: expect.any(Number) as number,
      steps: 3,
      seconds: metrics('summed').at(-1)!.seconds,
      peakMemory: expect.any(Number) as number,
      files: [{ path: '../summed.safetensors', bytes: statSync(file).size }],
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    });
    expect(summary.peakMemory).toBeGreaterThan(5e7);
    expect(hash).toBe(await baseHash(await openBase(base)));
    expect(hash).not.toBe(await baseHash(await openBase(base, { predictionType: 'v' })));
  });
});

describe('refused before anything is computed:', () => {
  const refused = (described: { build(): Promise<Run> }, message: RegExp): Promise<void> =>
    expect(described.build()).rejects.toThrow(message);

  it('held-out pictures that are not there, and settings that do not exist', async () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    await refused(plain.validation(empty), /empty has no pictures: it is empty/);
    await refused(plain.validation(join(folder, 'nowhere')), /nowhere cannot be opened/);
    writeFileSync(join(folder, 'note.txt'), 'a file');
    await refused(
      plain.validation(kept, { every: 0, evrey: 5 } as object),
      /validation.every must be at least 1, not 0[^]*no setting validation.evrey; did you mean validation.every/,
    );
    await refused(
      plain.validation(kept, { resolution: 60 }),
      /validation.resolution 60: one latent stands for 8 x 8 pixels/,
    );
    await refused(plain.validation(kept, { template: 'a {}' }), /\{\}/);
  });

  it('what has no such loss', async () => {
    const reconstruct: Objective = ({ decode }, { latents }) => decode(latents).square().mean();
    const decoder = lowRank({ name: 'decoder', at: 'vae.decoder.**.to_q' });
    const autoencoder = pipeline()
      .model(base)
      .adapter(decoder)
      .objective(reconstruct)
      .optimizer(adamw({ lr: 1e-3 }));
    await refused(
      autoencoder.data(pictures).validation(kept),
      /validation: .* this run trains the autoencoder alone; leave validation out/,
    );
    await refused(
      stem
        .model(upscaler())
        .data(images(kept, { resolution: 64 }))
        .validation(kept),
      /validation: .*upscaler is made for upscaling, and the validation loss is that of text-to-image bases/,
    );
  });
});
