import { stepTime } from './stepTime.ts';

export const ti34m = stepTime({
  name: 'ti-34m',
  about: 'Textual Inversion, U-Net of 34 M, text encoder of 64 channels, latents 16x16, batch 8',
  workload: { model: '34m', size: { batch: 8, latents: 16 } },
  atLeast: 1.2,
});
