import { describe, expect, test } from 'vitest';
import { cpu, reference } from '../../src/index.ts';
import { difference, expectTrajectory, flat, goldenRuns, ownRun, size } from './runs.ts';
import { reports, using } from '../support/fixtures.ts';

describe("runs of A1111's hypernetwork trainer, repeated", () => {
  test.for(goldenRuns)('on the cpu: $name', (one) => expectTrajectory(one, cpu()));
  test.for(goldenRuns)('on the reference backend: $name', (one) =>
    expectTrajectory(one, reference),
  );
});

describe("runs of A1111's modules, repeated", () => {
  const names = ['dropout', 'activated-output', 'prelu', 'rrelu', 'softmax', 'resumed'];
  test.for(names)('on the cpu: %s', (name) => expectTrajectory(ownRun(name), cpu()));
  // On the reference backend: test-long/replay/reference.test.ts.

  test('blocks that are computed again change nothing', async () => {
    const { recipe, folder, illConditioned } = ownRun('dropout');
    const trained = (recompute: boolean) =>
      using(
        recipe.with({ recompute }).build({ replay: `${folder}/replay.safetensors` }),
        async (run) => {
          await reports(run);
          return [...flat((await run.trainables())[0]!)].flatMap(([name, values]) =>
            illConditioned.includes(name) ? [] : [values],
          );
        },
      );
    const [kept, again] = [await trained(false), await trained(true)];
    expect(size(...kept.map((values, i) => difference(values, again[i]!)))).toBeLessThan(
      1e-4 * size(...kept),
    );
  });
});
