/** @file A graphics device that is lost in the middle of a run takes no more along than the steps since the last save. */
import { join } from 'node:path';
import { UserError } from '@sdft/tensor';
import { webgpu } from '@sdft/tensor/node';
import { expect, test } from 'vitest';
import { globals } from 'webgpu';
import { found, repetitions } from '../../../../vitest.long.ts';
import {
  pictures,
  reports,
  stem,
  temporaryFolder,
  trained,
  using,
} from '../../test/support/small.ts';

const SEED = 3;
const EVERY = 2;
const folder = temporaryFolder();

/** The device that was opened last. */
let device: GPUDevice | undefined;
const { prototype } = (globals as { readonly GPUAdapter: { readonly prototype: GPUAdapter } })
  .GPUAdapter;
const open = prototype.requestDevice;
prototype.requestDevice = async function (this: GPUAdapter, ...wanted) {
  device = await open.apply(this, wanted);
  return device;
};

test('a run whose device is lost says so, and goes on from its last save', async ({ task }) => {
  const losses = repetitions(10, 1);
  const backend = webgpu();
  const plain = stem.data(pictures).seed(SEED);
  const described = plain.with({ save: { every: EVERY } });
  const logDir = join(folder, 'run');
  for (let loss = 0; loss < losses; loss++)
    await using(described.build({ backend, logDir, resume: loss > 0 }), async (run) => {
      const saved = loss * EVERY;
      if (loss > 0) expect(await run.resume()).toBe(saved);
      const broken = (async () => {
        // A step after the save; the device goes while the next one runs.
        for await (const { step } of run.steps(EVERY + 3))
          if (step === saved + EVERY + 1) setTimeout(() => device!.destroy(), 1);
      })();
      await expect(broken).rejects.toThrow(/was lost .*--resume/);
      await expect(broken).rejects.toThrow(UserError);
    });
  const steps = losses * EVERY + 1;
  const resumed = await using(described.build({ backend, logDir, resume: true }), async (run) => {
    expect(await run.resume()).toBe(losses * EVERY);
    await reports(run, 1);
    return trained(run);
  });
  const straight = await using(plain.build({ backend }), async (run) => {
    await reports(run, steps);
    return trained(run);
  });
  expect(resumed).toEqual(straight);
  found(
    task,
    SEED,
    `${losses} devices lost, each in the second step after a save; resumed and not broken off: equal to the bit`,
  );
});
