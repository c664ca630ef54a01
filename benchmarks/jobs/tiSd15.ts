import { stepTime } from './stepTime.ts';

export const tiSd15 = stepTime({
  name: 'ti-sd15-256',
  about: 'Textual Inversion, U-Net of SD1.5 shape (860 M), 256 px, batch 1: seconds a step',
  workload: { model: 'sd15', size: { batch: 1, latents: 32 } },
  atLeast: 1.35,
});
