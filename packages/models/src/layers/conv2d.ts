import { apply, type ConvAttributes, type Tensor } from '@sdft/tensor';
import type { Scope } from '../scope.ts';

export interface Conv2dOptions {
  /** Side of the square kernel. */
  readonly kernel: number;
  readonly stride?: number;
  /** Zeros around the picture: on every side, or [top, left, bottom, right]. */
  readonly padding?: number | readonly [number, number, number, number];
  readonly bias?: boolean;
}

/** x [B, in, H, W] with `weight` [out, in, kernel, kernel], plus `bias` [out]: [B, out, H', W']. */
export function conv2d(
  scope: Scope,
  x: Tensor,
  out: number,
  { kernel, stride = 1, padding = 0, bias = true }: Conv2dOptions,
): Tensor {
  const channels = x.shape[1]!;
  const weight = [out, channels, kernel, kernel];
  const conv: ConvAttributes = {
    stride: [stride, stride],
    padding: typeof padding === 'number' ? [padding, padding, padding, padding] : padding,
  };
  return scope.run(
    {
      kind: 'conv2d',
      in: channels,
      out,
      parameters: { weight, ...(bias && { bias: [out] }) },
      conv,
    },
    (input, parameter) => {
      const result = apply('conv2d', [input, parameter('weight')], conv);
      return bias ? result.add(parameter('bias').reshape([out, 1, 1])) : result;
    },
    x,
  );
}
