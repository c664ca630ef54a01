/** @file First values that PyTorch's layers have. */
import { type Initial, uniform } from '@sdft/pipeline';
import type { Shape } from '@sdft/tensor';
import { product } from './algorithm.ts';

/** Uniform in +-1/sqrt(fan in), fan in being all axes but the first: PyTorch's `kaiming_uniform_` with a = sqrt(5), which linear layers and convolutions start with. */
export function kaiming(shape: Shape): Initial {
  const bound = 1 / Math.sqrt(product(shape.slice(1)));
  return uniform(shape, -bound, bound);
}
