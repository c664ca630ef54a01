import { stepTime } from './stepTime.ts';

/** Most of this step is the text encoder: 123 M parameters, eight prompts, forward and backward. */
export const ti34mClip = stepTime({
  name: 'ti-34m-clip',
  about: 'the same with SD1.5’s text encoder (CLIP-L) before the U-Net, 768 channels',
  workload: { model: '34m-clip', size: { batch: 8, latents: 16 } },
  atLeast: 1.2,
});
