/** @file Names of the cases in fixtures/full. */

export const names = [
  'plain',
  'ema-warmup',
  'snr',
  'snr-v',
  'snr-v-plus-1',
  'debiased',
  'debiased-v',
  'zero-terminal-snr',
  'zero-terminal-snr-weighed',
  'offset',
  'pyramid',
  'perturbation',
  'smooth-l1',
  'dream',
  'text-encoder',
  'accumulate',
  'blocks',
  // On the goldens' base.
  'ema',
  'text-encoder-tiny-sd',
];
