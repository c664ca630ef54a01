/** @file Every optimizer that a recipe can name, in a run. */
import { join } from 'node:path';
import {
  adafactor,
  adamw,
  adamw8bit,
  lion,
  type Optimizer,
  optimizers,
  prodigy,
  sgd,
} from '@sdft/optim';
import { describe, expect, it } from 'vitest';
import { pictures, reports, stem, temporaryFolder, trained, using } from '../support/small.ts';

const folder = temporaryFolder();
const all: readonly Optimizer[] = [
  adamw({ lr: 1e-2 }),
  adamw8bit({ lr: 1e-2, min8bitSize: 64 }),
  lion({ lr: 1e-3, weightDecay: 0.1 }),
  adafactor({ beta1: 0.9 }),
  prodigy({ d0: 1e-3, useBiasCorrection: true }),
  sgd({ lr: 1e-2, momentum: 0.9 }),
];

describe.each(all.map((optimizer) => [optimizer.recipe.name, optimizer] as const))(
  'with %s',
  (name, optimizer) => {
    it('a run goes on as it would have, once it is resumed', async () => {
      const described = stem.optimizer(optimizer).data(pictures).accumulate(2);
      const logDir = join(folder, name);
      const whole = await using(described.build({ logDir }), async (run) => {
        const first = await reports(run, 2);
        await run.saveState();
        return { reports: [...first, ...(await reports(run, 2))], trained: await trained(run) };
      });
      await using(described.build({ logDir, resume: true }), async (run) => {
        expect(await run.resume()).toBe(2);
        const rest = await reports(run, 2);
        expect(rest.map(({ loss, lr }) => [loss, lr])).toEqual(
          whole.reports.slice(2).map(({ loss, lr }) => [loss, lr]),
        );
        expect(await trained(run)).toEqual(whole.trained);
      });
      expect(new Set(whole.reports.map(({ loss }) => loss)).size).toBe(4);
    });
  },
);

describe('optimizers', () => {
  it('are all tried', () => {
    expect(all.map(({ recipe }) => recipe.name)).toEqual(Object.keys(optimizers));
  });

  it('without lr report the rate that they use', async () => {
    const rates = (optimizer: Optimizer) =>
      using(stem.optimizer(optimizer).data(pictures).build(), async (run) =>
        (await reports(run, 2)).map(({ lr }) => lr),
      );
    expect(await rates(adafactor({ warmupInit: true }))).toEqual([1e-6, 2e-6]);
    expect(await rates(prodigy())).toEqual([1, 1]);
  });
});
