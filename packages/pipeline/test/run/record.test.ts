import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readFloat32, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import { images } from '@sdft/data';
import type { Weight } from '@sdft/tensor';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { pipeline } from '../../src/index.ts';
import {
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
import { adamw } from '@sdft/optim';

const folder = temporaryFolder();
const record = join(folder, 'record.safetensors');
let losses: number[];
let values: number[];

beforeAll(async () => {
  await using(stem.data(pictures).build({ record }), async (run) => {
    losses = (await reports(run, 4)).map(({ loss }) => loss);
    values = await trained(run);
  });
});

/** The record with some tensors changed. */
async function changed(
  name: string,
  change: (tensors: Map<string, Weight>) => void,
): Promise<string> {
  const tensors = new Map(openSafetensors(record).tensors);
  change(tensors);
  const path = join(folder, `${name}.safetensors`);
  await writeSafetensors(path, tensors);
  return path;
}

describe('a recorded run', () => {
  it('holds every batch and draw', () => {
    const { tensors } = openSafetensors(record);
    expect([...tensors.keys()].filter((name) => name.startsWith('3.')).sort()).toEqual([
      '3.input_ids',
      '3.noise',
      '3.pixel_values',
      '3.posterior_noise',
      '3.timesteps',
    ]);
    const described = (name: string) => [tensors.get(name)!.dtype, ...tensors.get(name)!.shape];
    expect(described('0.pixel_values')).toEqual(['f32', 2, 3, 64, 64]);
    expect(described('0.input_ids')).toEqual(['i64', 2, 77]);
    expect(described('0.posterior_noise')).toEqual(['f32', 2, 4, 8, 8]);
    expect(described('0.timesteps')).toEqual(['i64', 2]);
    expect(tensors.size).toBe(20);
  });

  it('is trained again bit for bit, and is as long as it was', async () => {
    await using(stem.build({ replay: record }), async (run) => {
      expect(run.recipe.steps).toBe(4);
      expect(run.recipe.batch).toBe(2);
      expect((await reports(run)).map(({ loss }) => loss)).toEqual(losses);
      expect(await trained(run)).toEqual(values);
    });
  });

  it('can be recorded again, with the same content', async () => {
    const again = join(folder, 'again.safetensors');
    await using(stem.build({ replay: record, record: again }), (run) => reports(run));
    const [a, b] = [openSafetensors(record).tensors, openSafetensors(again).tensors];
    expect([...b.keys()].sort()).toEqual([...a.keys()].sort());
    for (const [name, weight] of a) expect(b.get(name)!.read()).toEqual(weight.read());
  });

  it('holds what emphasis in captions does, where they are read as A1111 reads them', async () => {
    const captions = images(goldens('train/images'), {
      resolution: 64,
      template: 'a (picture:1.4), {caption}',
    });
    for (const [name, at] of [
      ['frozen', 'unet.**.attn2.to_{k,v}'],
      ['trained', 'text_encoder.**.k_proj'],
    ] as const) {
      const path = join(folder, `emphasis-${name}.safetensors`);
      const recipe = pipeline()
        .model(base())
        .adapter(lowRank({ at }))
        .objective(denoise)
        .optimizer(adamw({ lr: 1e-2 }))
        .flavour('a1111')
        .seed(5);
      const told = await using(recipe.data(captions).build({ record: path }), (one) =>
        reports(one, 2),
      );
      const { tensors } = openSafetensors(path);
      const multipliers = readFloat32(tensors.get('1.multipliers')!);
      expect([...multipliers.slice(0, 5)]).toEqual([1, 1, Math.fround(1.4), 1, 1]);
      await using(recipe.build({ replay: path }), async (again) =>
        expect((await reports(again)).map(({ loss }) => loss)).toEqual(
          told.map(({ loss }) => loss),
        ),
      );
      await using(recipe.with({ emphasis: 'ignore' }).build({ replay: path }), async (other) =>
        expect((await reports(other))[0]!.loss).not.toBe(told[0]!.loss),
      );
      await using(
        recipe
          .with({ promptSyntax: 'plain' })
          .data(captions)
          .build({ record: `${path}.plain` }),
        (plain) => reports(plain, 1),
      );
      expect(openSafetensors(`${path}.plain`).tensors.has('0.multipliers')).toBe(false);
    }
  });

  it('is written as far as the run came, each time that a loop ends', async () => {
    const path = join(folder, 'growing.safetensors');
    // A folder of its own for temporary files: other tests record at the same time.
    const temporary = join(folder, 'temporary');
    mkdirSync(temporary);
    vi.stubEnv('TMPDIR', temporary);
    await using(stem.data(pictures).build({ record: path }), async (run) => {
      await reports(run, 1);
      expect(readdirSync(temporary)).toEqual([expect.stringMatching(/^sdft-record-/)]);
      expect(openSafetensors(path).tensors.size).toBe(5);
      await reports(run, 1);
      expect(openSafetensors(path).tensors.size).toBe(10);
    });
    await expect(
      using(stem.data(pictures).build({ record: path }), (run) => reports(run, 1)),
    ).rejects.toThrow(/growing.safetensors: exists already/);
    expect(readdirSync(temporary)).toEqual([]);
    vi.unstubAllEnvs();
  });

  it('may give latents and text states in place of pictures and ids', async () => {
    const { tensors } = openSafetensors(record);
    const path = join(folder, 'ready.safetensors');
    const ready = new Map<string, Weight>();
    const ones = weightOf('f32', [2, 77, 12], new Uint8Array(new Float32Array(2 * 77 * 12).buffer));
    for (let k = 0; k < 2; k++) {
      ready.set(`${k}.noise`, tensors.get(`${k}.noise`)!);
      ready.set(`${k}.timesteps`, tensors.get(`${k}.timesteps`)!);
      ready.set(`${k}.latents`, tensors.get(`${k}.posterior_noise`)!);
      ready.set(`${k}.context`, ones);
    }
    await writeSafetensors(path, ready);
    await using(stem.build({ replay: path }), async (run) => {
      const all = await reports(run);
      expect(all.map(({ loss }) => Number.isFinite(loss))).toEqual([true, true]);
    });
    const text = lowRank({ at: 'text_encoder.**.q_proj' });
    await expect(
      pipeline()
        .model(stem.recipe.base!)
        .adapter(text)
        .objective(denoise)
        .optimizer(adamw({ lr: 1 }))
        .build({ replay: path }),
    ).rejects.toThrow(
      /holds text states \(context\) but no input_ids, and a part of the text side is trained/,
    );
  });

  it('weighs the loss where it says so', async () => {
    const weight = (value: number) =>
      weightOf('f32', [1, 1, 8, 8], new Uint8Array(new Float32Array(64).fill(value).buffer));
    const path = await changed('weighed', (tensors) => {
      for (let k = 0; k < 4; k++) tensors.set(`${k}.weight`, weight(2));
    });
    await using(stem.build({ replay: path }), async (run) => {
      const [first] = await reports(run, 1);
      expect(first!.loss / losses[0]!).toBeCloseTo(2, 5);
    });
  });
});

describe('a record that does not fit', () => {
  const refused = async (path: string, message: RegExp, steps?: number) => {
    const from = steps === undefined ? stem : stem.steps(steps);
    await expect(from.build({ replay: path })).rejects.toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringMatching(message) }),
    );
  };

  it('because it is too short', async () => {
    await refused(
      record,
      /5 steps of 1 micro-step are asked for; the record holds 4 micro-steps/,
      5,
    );
  });
  it('because a micro-step is missing', async () => {
    await refused(
      await changed('gap', (tensors) => {
        for (const name of [...tensors.keys()]) if (name.startsWith('2.')) tensors.delete(name);
      }),
      /micro-step 2 is missing, though there are 4/,
    );
  });
  it('because a draw is missing everywhere, or in one micro-step', async () => {
    const without =
      (...names: string[]) =>
      (tensors: Map<string, Weight>) =>
        names.forEach((name) => tensors.delete(name));
    await refused(
      await changed('no-noise', without('0.noise', '1.noise', '2.noise', '3.noise')),
      /no draw called noise, which this run needs; it has .*timesteps/,
    );
    await refused(
      await changed('one-noise', without('1.noise')),
      /1.noise is missing, though 0.noise is there/,
    );
  });
  it('because of a draw that nothing uses', async () => {
    await refused(
      await changed('more', (tensors) => {
        for (let k = 0; k < 4; k++) tensors.set(`${k}.offset_noise`, tensors.get('0.noise')!);
      }),
      /draws that this run does not use \(offset_noise\): it was recorded with other settings/,
    );
  });
  it('because batches differ in size', async () => {
    const { tensors } = openSafetensors(record);
    const ids = readFloat32(tensors.get('3.input_ids')!).slice(0, 77);
    const short = weightOf('i64', [1, 77], new Uint8Array(BigInt64Array.from(ids, BigInt).buffer));
    await refused(
      await changed('short', (all) => all.set('3.input_ids', short)),
      /3.input_ids is \[1, 77\], 0.input_ids is \[2, 77\]; all micro-steps must hold the same/,
    );
  });
  it('because it is something else', async () => {
    const other = join(base(), 'unet/diffusion_pytorch_model.safetensors');
    expect(existsSync(other)).toBe(true);
    await refused(other, /is no record: its tensors are called K.NAME/);
    await refused(join(folder, 'nothing.safetensors'), /nothing.safetensors: no such file/);
  });
});

const base = (): string => stem.recipe.base!;
