/** @file Training of an upscaling model as diffusers' classes do it (tools/super-resolution/make_fixtures.py), and the recipes that must repeat it. */
import { adamw, fullFineTune, pipeline, superResolve } from '../../src/index.ts';
import { pathOf } from '../support/fixtures.ts';
import type { RecordedRun } from '../support/recordedRun.ts';
import { upscaler } from '../support/upscaler.ts';

const base = upscaler();
const record = pathOf('fixtures/super-resolution/replay.safetensors');

export const cases: readonly RecordedRun[] = [
  {
    name: 'lowered: v, augmentation from 1e-3 to 1e-5',
    folder: 'fixtures/super-resolution/lowered',
    ...{ base, record },
    stem: pipeline()
      .adapter(fullFineTune())
      .objective(superResolve())
      .optimizer(adamw({ lr: 2e-4, weightDecay: 0.01 })),
  },
  {
    name: 'epsilon: noise, min-SNR, two micro-steps a step, augmentation from 4e-3 to 2e-3',
    folder: 'fixtures/super-resolution/epsilon',
    ...{ base, record },
    stem: pipeline()
      .with({ predictionType: 'epsilon' })
      .adapter(fullFineTune())
      .objective(superResolve({ augmentation: 4e-3, augmentationEnd: 2e-3, snrGamma: 5 }))
      .optimizer(adamw({ lr: 5e-4, weightDecay: 0.01 }))
      .accumulate(2),
  },
];
