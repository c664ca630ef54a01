/** @file Names of the cases in fixtures/full. */

/** On a base of 16 channels. */
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
];

/** On the goldens' base, which the cpu backend takes half a minute to compile; it trains it in saved.test.ts. */
export const large = ['ema', 'text-encoder-tiny-sd'];
