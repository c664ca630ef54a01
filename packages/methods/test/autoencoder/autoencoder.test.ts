/** @file An AutoencoderKL that diffusers and torch trained (tools/autoencoder/make_fixtures.py), trained again. */
import { join } from 'node:path';
import { readFloat32 } from '@sdft/models';
import { openCheckpoint } from '@sdft/models/node';
import { describe, expect, test } from 'vitest';
import {
  adamw,
  autoencoder,
  type AutoencoderOptions,
  buildRun,
  cpu,
  openBase,
  parseRecipe,
  pipeline,
  reconstruct,
  reference,
} from '../../src/index.ts';
import { goldens, json, pathOf, reports, temporaryFolder, tensor } from '../support/fixtures.ts';

interface Runs {
  readonly lr: number;
  readonly runs: Readonly<
    Record<
      string,
      {
        readonly settings: AutoencoderOptions;
        readonly losses: readonly number[];
        readonly norms: readonly number[];
        readonly names: readonly string[];
        readonly illConditioned: readonly string[];
        readonly error: number;
      }
    >
  >;
}

const fixture = (name: string): string => pathOf(`fixtures/autoencoder/${name}`);
const { lr, runs } = json<Runs>(fixture('runs.json'));
const replay = fixture('record.safetensors');
const folder = temporaryFolder();
/** What is kept of each tensor: the norm of its movement, and its first four numbers. */
const KEPT = 5;

const recipeOf = (settings: AutoencoderOptions) =>
  pipeline()
    .model(goldens('tiny-sd'))
    .method(autoencoder(settings))
    .optimizer(adamw({ lr, weightDecay: 0 }))
    .clip(0);

describe.each(Object.entries(runs))('%s', (name, one) => {
  const backends = name === 'l1' ? { cpu: cpu() } : { cpu: cpu(), reference };
  test.each(Object.entries(backends))(
    'is trained as diffusers trains it: %s',
    async (_, backend) => {
      await using run = await recipeOf(one.settings).build({ replay, backend });
      const all = await reports(run);
      // Ten times what rounding leads away, as for other trajectories.
      const tolerance = Math.max(1e-5, 10 * one.error);
      all.forEach(({ loss, gradNorm }, k) => {
        expect(Math.abs(loss / one.losses[k]! - 1), `loss of step ${k}`).toBeLessThan(tolerance);
        expect(Math.abs(gradNorm / one.norms[k]! - 1), `norm of step ${k}`).toBeLessThan(tolerance);
      });
      expect(all).toHaveLength(one.losses.length);
      const [state] = await run.trainables();
      const kept = tensor(fixture(`${name}.safetensors`), 'kept');
      const { weights } = await openBase(goldens('tiny-sd'));
      let [errors, updates] = [0, 0];
      one.names.forEach((path, row) => {
        const dot = path.lastIndexOf('.');
        const mine = state!.get(path.slice(0, dot))![path.slice(dot + 1)]!.data;
        if (one.illConditioned.includes(path)) return;
        const before = readFloat32(weights.get(path)!);
        const [moved, ...first] = kept.subarray(KEPT * row, KEPT * (row + 1));
        const norm = Math.sqrt(before.reduce((sum, value, i) => sum + (mine[i]! - value) ** 2, 0));
        errors += (norm - moved!) ** 2;
        updates += moved! ** 2;
        first.slice(0, before.length).forEach((value, i) => {
          errors += (mine[i]! - value) ** 2;
          updates += (value - before[i]!) ** 2;
        });
      });
      // Of the movement of all tensors; float32 and float64 are a tenth of it apart.
      expect(Math.sqrt(errors / updates)).toBeLessThan(0.01);
      expect(state!.size).toBe(new Set(one.names.map((path) => path.replace(/\.[^.]*$/, ''))).size);
    },
  );
});

test('what is saved is the whole model, and what was not trained in it as it was', async () => {
  const out = join(folder, 'model');
  const recipe = parseRecipe({
    ...{ base: goldens('tiny-sd'), method: 'autoencoder', at: 'vae.decoder.**', seed: 1 },
    save: { out },
  });
  await using run = await buildRun(recipe, { replay, backend: cpu() });
  await reports(run, 1);
  await run.save();
  const [before, after] = await Promise.all([
    openCheckpoint(goldens('tiny-sd'), {}),
    openCheckpoint(out, {}),
  ]);
  const changed = [...after.weights].flatMap(([path, weight]) =>
    String(readFloat32(weight)) === String(readFloat32(before.weights.get(path)!)) ? [] : [path],
  );
  expect(changed.length).toBeGreaterThan(50);
  expect(changed.filter((path) => !path.startsWith('vae.decoder.'))).toEqual([]);
});

test('settings out of range are refused', () => {
  expect(() => reconstruct({ klWeight: -1 })).toThrow(/klWeight must be a number, 0 or more/);
  expect(() => reconstruct({ pixelLoss: 'lpips' as 'l1' })).toThrow(/there are l1, l2/);
});
