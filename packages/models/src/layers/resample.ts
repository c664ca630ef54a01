/** @file Halving and doubling of pictures, [B, C, H, W]. */
import type { Tensor } from '@sdft/tensor';
import type { Scope } from '../scope.ts';
import { conv2d } from './conv2d.ts';

/** Every second row and column of a 3x3 convolution. The U-Net pads every side by 1, the VAE only bottom and right (diffusers `downsampling.py`, `Downsample2D`). */
export const downsample = (
  scope: Scope,
  x: Tensor,
  padding: readonly [number, number, number, number],
): Tensor => conv2d(scope.at('conv'), x, x.shape[1]!, { kernel: 3, stride: 2, padding });

/**
 * Nearest neighbours at [height, width], which are twice x's or one less, then a 3x3 convolution (diffusers `upsampling.py`, `Upsample2D`).
 * For one less PyTorch's source index, floor(i n / (2n - 1)), is still floor(i / 2), so that cropping is exact.
 */
export function upsample(
  scope: Scope,
  x: Tensor,
  [height, width]: readonly [number, number],
): Tensor {
  const [b, c, h, w] = x.shape as [number, number, number, number];
  const nearest = scope.inside(() => {
    const doubled = x
      .reshape([b, c, h, 1, w, 1])
      .broadcastTo([b, c, h, 2, w, 2])
      .reshape([b, c, 2 * h, 2 * w]);
    const cropped = height < 2 * h ? doubled.slice(2, 0, height) : doubled;
    return width < 2 * w ? cropped.slice(3, 0, width) : cropped;
  });
  return conv2d(scope.at('conv'), nearest, c, { kernel: 3, padding: 1 });
}
