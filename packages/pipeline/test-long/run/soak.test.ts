import { join } from 'node:path';
import { expect, test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { pictures, stem, temporaryFolder, trained, using } from '../../test/support/small.ts';

const SEED = 3;
const folder = temporaryFolder();

/** Megabytes of the whole process, what the compute thread holds included. */
const residentMegabytes = (): number => process.memoryUsage().rss / 1e6;

test('a long run stays in its memory, and is the same when it is broken off now and then', async ({
  task,
}) => {
  const steps = repetitions(10_000, 100);
  const described = stem.data(pictures).seed(SEED);
  const sizes: number[] = [];
  let straight: number[] = [];
  let seconds = 0;
  await using(described.build(), async (run) => {
    for await (const report of run.steps(steps)) {
      seconds += report.seconds;
      if (report.step % (steps / 20) === 0) sizes.push(residentMegabytes());
    }
    straight = await trained(run);
  });
  // The first tenth warms allocators up.
  const growth = sizes.at(-1)! - sizes[1]!;
  expect(growth).toBeLessThan(100);

  const parts = 4;
  for (let part = 0; part < parts; part++)
    await using(described.build({ logDir: join(folder, 'run'), resume: part > 0 }), async (run) => {
      if (part > 0) expect(await run.resume()).toBe((part * steps) / parts);
      for await (const _ of run.steps(steps / parts));
      await run.saveState();
      if (part === parts - 1) expect(await trained(run)).toEqual(straight);
    });
  found(
    task,
    SEED,
    `${steps} steps, ${(steps / seconds).toFixed(0)} a second; grew by ${growth.toFixed(0)} MB after the first tenth; broken off and resumed ${parts - 1} times: equal to the bit`,
  );
});
