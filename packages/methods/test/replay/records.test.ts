/** @file What a run writes down, and what it makes of what was written down. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adamw, images, pipeline, textualInversion } from '../../src/index.ts';
import { readFloat32, viewWeight, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import type { Weight } from '@sdft/tensor';
import { afterAll, describe, expect, test } from 'vitest';
import { caseNamed, fixture, recipeOf } from './cases.ts';
import { recordOf, train, type Trained } from './trajectory.ts';

const folder = mkdtempSync(join(tmpdir(), 'sdft-records-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const expectSame = (actual: Trained, expected: Trained): void => {
  const said = ({ reports }: Trained) =>
    reports.map(({ losses, lr, gradNorm }) => ({ losses, lr, gradNorm }));
  expect(said(actual)).toEqual(said(expected));
  expect(actual.to).toEqual(expected.to);
};

/** The tensors of a record, changed, in a file of their own. */
async function changed(
  from: string,
  name: string,
  change: (key: string, weight: Weight) => Weight | undefined,
): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  const tensors = new Map<string, Weight>();
  for (const [key, weight] of openSafetensors(from).tensors) {
    const next = change(key, weight);
    if (next) tensors.set(key, next);
  }
  await writeSafetensors(path, tensors);
  return path;
}

describe('a record of a run', () => {
  test.for(['ti-accumulate', 'ti-oblong', 'ti-a1111-value', 'ti-a1111-weight'])(
    'of a replayed %s holds the bytes that were replayed, and gives the same run, bit for bit',
    async (name) => {
      const one = caseNamed(name);
      const record = join(folder, `${name}.safetensors`);
      const first = await train(recipeOf(one), { replay: recordOf(one), record });
      const given = openSafetensors(recordOf(one)).tensors;
      const written = openSafetensors(record).tensors;
      // Of five vectors there is a wrong context beside the ids: it is not used, so it is not part of what happened, and the run without it is the same.
      const used = [...given.keys()].filter((key) => !key.endsWith('.context'));
      expect([...written.keys()].sort()).toEqual(used.sort());
      for (const [key, weight] of written) {
        expect([weight.dtype, weight.shape], key).toEqual([
          given.get(key)!.dtype,
          given.get(key)!.shape,
        ]);
        expect(Buffer.compare(weight.read(), given.get(key)!.read()), key).toBe(0);
      }
      expectSame(await train(recipeOf(one), { replay: record }), first);
    },
  );

  test.for(['diffusers', 'a1111'] as const)(
    'of pictures gives the same run, bit for bit (%s)',
    async (flavour) => {
      const record = join(folder, `pictures-${flavour}.safetensors`);
      const stem = pipeline()
        .model(fixture('goldens/tiny-sd'))
        .flavour(flavour)
        .method(textualInversion({ token: '<x>', init: 'cup', vectors: 2 }))
        .optimizer(adamw({ lr: 5e-3 }))
        .accumulate(2)
        .steps(3)
        .seed(11);
      const pictures = images(fixture('goldens/train/images'), {
        template: 'a photo of {}, {caption}',
        resolution: 64,
        flip: 0.5,
      });
      const learn = async (options: { readonly record?: string; readonly replay?: string }) => {
        await using run = await stem.data(pictures).batch(2).build(options);
        const lines = [];
        for await (const { losses, lr, gradNorm } of run.steps())
          lines.push({ losses, lr, gradNorm });
        return { lines, trained: await run.trainables() };
      };
      const first = await learn({ record });
      expect(first.lines).toHaveLength(3);
      expect([...openSafetensors(record).tensors.keys()].sort()).toEqual(
        Array.from({ length: 6 }, (_, k) =>
          ['input_ids', 'noise', 'pixel_values', 'posterior_noise', 'timesteps'].map(
            (name) => `${k}.${name}`,
          ),
        ).flat(),
      );
      expect(await learn({ replay: record })).toEqual(first);
    },
  );
});

test('where a word is trained, a context does not stand in for ids', async () => {
  const one = caseNamed('ti-a1111-value');
  const without = await changed(recordOf(one), 'without-ids', (key, weight) =>
    key.endsWith('.input_ids') ? undefined : weight,
  );
  await expect(train(recipeOf(one), { replay: without })).rejects.toThrow(/input_ids/);
});

test('a weight broadcasts over the latents', async () => {
  const one = caseNamed('ti-a1111-weight');
  // A1111 repeats one map for every channel.
  const narrow = await changed(recordOf(one), 'narrow-weight', (key, weight) => {
    if (!key.endsWith('.weight')) return weight;
    const [batch, channels, height, width] = weight.shape as [number, number, number, number];
    const cells = height * width;
    const maps = Array.from({ length: batch }, (_, i) =>
      readFloat32(viewWeight(weight, [cells], i * channels * cells)),
    );
    const values = Float32Array.from(maps.flatMap((map) => [...map]));
    return weightOf('f32', [batch, 1, height, width], new Uint8Array(values.buffer));
  });
  const full = await train(recipeOf(one), { replay: recordOf(one) });
  const broadcast = await train(recipeOf(one), { replay: narrow });
  expectSame(broadcast, full);
});
