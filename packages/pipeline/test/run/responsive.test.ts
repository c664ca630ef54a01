import { monitorEventLoopDelay } from 'node:perf_hooks';
import { images } from '@sdft/data';
import { expect, it } from 'vitest';
import { pipeline } from '../../src/index.ts';
import { adamw } from '@sdft/optim';
import { denoise, lowRank, pathOf, using } from '../support/small.ts';

it('answers within 100 ms while steps compute', async () => {
  const described = pipeline()
    .model('nano')
    .data(images(pathOf('packages/nano/outline/train')))
    .adapter(lowRank())
    .objective(denoise)
    .optimizer(adamw({ lr: 1e-3 }))
    .batch(16);
  await using(described.build(), async (run) => {
    const delay = monitorEventLoopDelay({ resolution: 5 });
    let computed = 0;
    for await (const { step, seconds } of run.steps(6)) {
      // The first step compiles.
      if (step === 1) delay.enable();
      else computed += seconds;
    }
    delay.disable();
    expect(computed).toBeGreaterThan(0.3);
    expect(delay.max / 1e6).toBeLessThan(100);
  });
});
