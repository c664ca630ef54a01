/** @file A noise schedule with zero terminal SNR, and a prediction type that the recipe says, go into what is saved. */
import { join } from 'node:path';
import { openCheckpoint } from '@sdft/models/node';
import { expect, test } from 'vitest';
import { adamw, fullFineTune, pipeline, reference } from '../../src/index.ts';
import { reports, temporaryFolder } from '../support/fixtures.ts';
import { baseOf, caseNamed, recordOf } from './cases.ts';

const folder = temporaryFolder();
const one = caseNamed('zero-terminal-snr');
const stem = pipeline()
  .model(baseOf(one))
  .method(fullFineTune({ at: 'unet.conv_in' }))
  .optimizer(adamw({ lr: 1e-4 }));

test('the saved checkpoint has the schedule that it was trained with, in both layouts', async () => {
  const replay = await recordOf('schedule', one);
  await using run = await stem
    .with({ zeroTerminalSnr: true })
    .steps(1)
    .build({ replay, backend: reference });
  expect(run.base.schedule.alphasCumprod.at(-1)).toBe(0);
  expect(run.plan.warnings.join()).not.toMatch(/pure noise/);
  await reports(run);
  for (const name of ['tuned', 'tuned.safetensors']) {
    await run.save(join(folder, name));
    const { schedule } = await openCheckpoint(join(folder, name));
    expect(schedule).toMatchObject({
      rescaleBetasZeroSnr: true,
      timestepSpacing: 'trailing',
      predictionType: 'v_prediction',
    });
  }
  const latents = await run.generateWithLatents('a man', { seed: 1, steps: 3, size: '64x64' });
  expect([...latents[0]!.latents.data].every(Number.isFinite)).toBe(true);
});

test('a base that predicts noise is warned of', async () => {
  await using run = await stem
    .with({ zeroTerminalSnr: true, predictionType: 'epsilon' })
    .build({ replay: await recordOf('epsilon', one), backend: reference });
  expect(run.plan.warnings.join()).toMatch(/ends in pure noise, where that says nothing/);
  await run.save(join(folder, 'epsilon'));
  const { schedule } = await openCheckpoint(join(folder, 'epsilon'));
  expect(schedule.predictionType).toBe('epsilon');
});
