/** @file Nothing but the new word changes, whatever the weight decay. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { adamw } from '@sdft/methods';
import { describe, expect, test } from 'vitest';
import { caseNamed, fixture, recipeOf } from './cases.ts';
import { recordOf } from './trajectory.ts';
import { vectorsOf } from './vectors.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The hash of every file of a folder. */
const filesOf = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((path) => statSync(path).isFile())
      .map((path) => [path, sha256(readFileSync(path))]),
  );

describe.for(['ti-decay', 'ti-sd2'])('%s', (folder) => {
  const one = caseNamed(folder);
  test.for([0.1, 10])('weight decay %d reaches the new word only', async (weightDecay) => {
    const files = filesOf(fixture(one.base));
    expect(Object.keys(files).length).toBeGreaterThan(8);
    await using run = await recipeOf(one)
      .optimizer(adamw({ lr: 2e-2, weightDecay }))
      .schedule({ name: 'constant' })
      .build({ replay: recordOf(one) });
    const weights = new Map([...run.base.weights].map(([name, w]) => [name, sha256(w.read())]));
    const from = await vectorsOf(run);
    const draw = async (prompt: string) => {
      const [drawn] = await run.generateWithLatents(prompt, { seed: 3, steps: 2 });
      return drawn!.latents.data;
    };
    const [others, own] = [await draw('a photo of the man'), await draw('a photo of <thing>')];

    for await (const _ of run.steps());

    const to = await vectorsOf(run);
    const shrunk = Math.hypot(...to) / Math.hypot(...from);
    // lr * decay is 0.002 or 0.2 of the vectors each step; the gradient moves single numbers by up to lr.
    if (weightDecay === 10) expect(shrunk).toBeLessThan(0.6);
    expect(await draw('a photo of the man')).toEqual(others);
    expect(await draw('a photo of <thing>')).not.toEqual(own);
    for (const [name, weight] of run.base.weights)
      expect(sha256(weight.read()), name).toBe(weights.get(name));
    expect(filesOf(fixture(one.base))).toEqual(files);
  });
});
