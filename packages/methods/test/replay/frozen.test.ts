/** @file Nothing but the new word changes, whatever the weight decay. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { adamw } from '../../src/index.ts';
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

describe.for(['ti-cosine', 'ti-decay'])('%s', (folder) => {
  const one = caseNamed(folder);
  test.for([0.1, 10])('weight decay %d reaches the new word only', async (weightDecay) => {
    const files = filesOf(fixture(one.base));
    expect(Object.keys(files).length).toBeGreaterThan(8);
    await using run = await recipeOf(one)
      .optimizer(adamw({ lr: 2e-2, weightDecay }))
      .schedule({ name: 'constant' })
      .build({ replay: recordOf(one) });
    const weights = new Map([...run.base.weights].map(([name, w]) => [name, sha256(w.read())]));
    const known = one.base.includes('sd2') ? 'man' : 'cup';
    const draw = async (prompt: string) => {
      const [drawn] = await run.generateWithLatents(prompt, { seed: 3, steps: 2 });
      return drawn!.latents.data;
    };
    const [others, own] = [await draw(`a photo of the ${known}`), await draw('a photo of <thing>')];

    for await (const _ of run.steps());

    expect(await draw(`a photo of the ${known}`)).toEqual(others);
    expect(await draw('a photo of <thing>')).not.toEqual(own);
    for (const [name, weight] of run.base.weights)
      expect(sha256(weight.read()), name).toBe(weights.get(name));
    expect(filesOf(fixture(one.base))).toEqual(files);
  });
});

test('weight decay takes its share of the new word', async () => {
  const one = caseNamed('ti-sd2');
  const [lr, weightDecay] = [2e-2, 10];
  const afterOneStep = async (decay: number) => {
    await using run = await recipeOf(one)
      .optimizer(adamw({ lr, weightDecay: decay }))
      .schedule({ name: 'constant' })
      .build({ replay: recordOf(one) });
    const from = await vectorsOf(run);
    for await (const _ of run.steps(1));
    return { from, to: await vectorsOf(run) };
  };
  const { from, to } = await afterOneStep(weightDecay);
  const { to: without } = await afterOneStep(0);
  // Loshchilov and Hutter 2019, algorithm 2: the decay does not go through the moments. Six digits: the vectors are float32.
  to.forEach((value, i) => expect(without[i]! - value).toBeCloseTo(lr * weightDecay * from[i]!, 6));
});
