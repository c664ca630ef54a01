/** @file Runs of diffusers' DreamBooth script, and the recipes that must repeat them. */
import { adamw, dreamBooth, fullFineTune, pipeline } from '../../src/index.ts';
import { goldens } from '../support/fixtures.ts';
import type { RecordedRun } from '../support/recordedRun.ts';

const base = goldens('tiny-sd');
const adam = adamw({ lr: 2e-4, weightDecay: 0.01 });
const prior = { classPrompt: 'a photo of a person' };

export const cases: readonly RecordedRun[] = [
  {
    name: 'db_prior: the U-Net, with prior preservation',
    folder: 'fixtures/goldens/train/db_prior',
    base,
    stem: pipeline()
      .method(dreamBooth(prior))
      .optimizer(adam)
      .schedule({ name: 'cosine', warmup: 1 }),
  },
  {
    name: 'plain: without prior preservation, batch 4',
    folder: 'fixtures/dreambooth/plain',
    base,
    stem: pipeline().method(dreamBooth()).optimizer(adam).schedule({ name: 'linear' }),
  },
  {
    name: 'text: the text encoder at a rate of its own, the prior at half weight',
    folder: 'fixtures/dreambooth/text',
    base,
    stem: pipeline()
      .method(
        dreamBooth({
          ...prior,
          priorWeight: 0.5,
          over: fullFineTune({ trainTextEncoder: true, textEncoderLr: 1e-3 }),
        }),
      )
      .optimizer(adam),
  },
  {
    name: 'snr: min-SNR of the instances alone, offset noise, two micro-steps a step',
    folder: 'fixtures/dreambooth/snr',
    base,
    stem: pipeline()
      .method(dreamBooth({ ...prior, snrGamma: 5, noiseOffset: 0.1 }))
      .optimizer(adam)
      .schedule({ name: 'cosine', warmup: 1 })
      .accumulate(2),
  },
];
