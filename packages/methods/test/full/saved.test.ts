/** @file The golden run of diffusers' DreamBooth script, U-Net only, is full fine-tuning; what is saved of it is a whole model. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readFloat32 } from '@sdft/models';
import { openCheckpoint, openSafetensors } from '@sdft/models/node';
import { expect, test } from 'vitest';
import { adamw, fullFineTune, pipeline, withPrior } from '../../src/index.ts';
import { goldens, json, reports, temporaryFolder } from '../support/fixtures.ts';

const folder = temporaryFolder();
const golden = (name: string): string => goldens(`train/db_prior/${name}`);
const base = goldens('tiny-sd');
const stem = pipeline()
  .model(base)
  .optimizer(adamw({ lr: 2e-4, weightDecay: 0.01 }));

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const rms = (values: Iterable<number>): number => {
  let [sum, count] = [0, 0];
  for (const value of values) [sum, count] = [sum + value * value, count + 1];
  return Math.sqrt(sum / count);
};

test('the golden run again, saved as a folder and as one file', async () => {
  const { objective } = fullFineTune();
  await using run = await stem
    .adapter(fullFineTune())
    .objective(withPrior(objective, { weight: 1 }))
    .schedule({ name: 'cosine', warmup: 1 })
    .clip(1)
    .build({ replay: golden('replay.safetensors') });
  const steps = await reports(run);
  const noise = json<{
    suggested_tolerance: { relative_error_of_update: number; loss_abs: number };
    ill_conditioned: readonly string[];
  }>(golden('noise.json'));
  const expected = json<{
    micro_steps: readonly { loss: number; lr: number; grad_norm_before_clip: number }[];
  }>(golden('loss.json')).micro_steps;
  expect(steps).toHaveLength(5);
  steps.forEach(({ loss, lr, gradNorm }, i) => {
    expect(Math.abs(loss - expected[i]!.loss)).toBeLessThan(noise.suggested_tolerance.loss_abs);
    expect(lr).toBeCloseTo(expected[i]!.lr, 12);
    expect(gradNorm / expected[i]!.grad_norm_before_clip).toBeCloseTo(1, 4);
  });

  await run.save(join(folder, 'tuned'));
  await run.save(join(folder, 'tuned.safetensors'));
  const [whole, one, before] = await Promise.all(
    [join(folder, 'tuned'), join(folder, 'tuned.safetensors'), base].map((path) =>
      openCheckpoint(path),
    ),
  );
  expect([...whole!.weights.keys()]).toEqual([...before!.weights.keys()]);
  const result = openSafetensors(golden('result.safetensors')).tensors;
  const errors: number[] = [];
  const updates: number[] = [];
  for (const [name, weight] of whole!.weights) {
    const bytes = weight.read();
    const old = before!.weights.get(name)!;
    expect(sha256(one!.weights.get(name)!.read()), name).toBe(sha256(bytes));
    if (!name.startsWith('unet.')) {
      expect(sha256(bytes), name).toBe(sha256(old.read()));
      continue;
    }
    expect(sha256(bytes), name).not.toBe(sha256(old.read()));
    if (noise.ill_conditioned.includes(name)) continue;
    const [mine, theirs, first] = [weight, result.get(name)!, old].map(readFloat32);
    mine!.forEach((value, i) => {
      errors.push(value - theirs![i]!);
      updates.push(theirs![i]! - first![i]!);
    });
  }
  expect(rms(errors) / rms(updates)).toBeLessThan(
    noise.suggested_tolerance.relative_error_of_update,
  );
});

test('layers that are frozen by rate 0 or left out stay as they are, to the bit', async () => {
  const out = join(folder, 'partly');
  await using run = await stem
    .method(
      fullFineTune({
        at: ['unet.**', '!unet.conv_in'],
        lrs: { 'unet.down_blocks.**': 1e-5, 'unet.mid_block.**': 0 },
      }),
    )
    .build({ replay: golden('replay.safetensors') });
  expect([...run.plan.trained.keys()].some((name) => name.includes('mid_block'))).toBe(false);
  await reports(run, 2);
  await run.save(out);
  const [after, before] = await Promise.all([openCheckpoint(out), openCheckpoint(base)]);
  for (const [name, weight] of after.weights) {
    const [mine, old] = [weight, before.weights.get(name)!].map(readFloat32);
    const isTrained = name.startsWith('unet.') && !/mid_block|conv_in\./.test(name);
    const moved = rms(mine!.map((value, i) => value - old![i]!));
    if (!isTrained)
      expect(sha256(weight.read()), name).toBe(sha256(before.weights.get(name)!.read()));
    else expect(moved, name).toBeGreaterThan(0);
    // One step of Adam moves a number by about the rate.
    if (name.startsWith('unet.down_blocks')) expect(moved, name).toBeLessThan(2.1e-5);
  }
});

test('a checkpoint gives first values', async () => {
  await using run = await stem
    .method(fullFineTune({ at: 'unet.conv_in' }))
    .initFrom(join(folder, 'tuned'))
    .build({ replay: golden('replay.safetensors') });
  const [state] = await run.trainables();
  const tuned = await openCheckpoint(join(folder, 'tuned'));
  expect(state!.get('unet.conv_in')!['weight']!.data).toEqual(
    readFloat32(tuned.weights.get('unet.conv_in.weight')!),
  );
});
