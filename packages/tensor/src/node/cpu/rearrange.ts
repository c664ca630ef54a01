/** @file Copies of kernels in the orders that some lowerings want. */
import type { KernelOrder, Size4 } from './lowering.ts';
import { transformKernel } from './winograd.ts';

/** Of a kernel [O,C,kh,kw] in an order. */
export function rearrangedShape([o, c, kh, kw]: Size4, order: KernelOrder): readonly number[] {
  const taps = kh * kw;
  switch (order) {
    case 'forward':
      return [o, taps * c];
    case 'flipped':
      return [c, taps * o];
    case 'forwardRows':
      return [taps * c, o];
    case 'flippedRows':
      return [taps * o, c];
    case 'mirrored':
      return [c, o, kh, kw];
    case 'tiles':
      return [16, o, c];
  }
}

/** Whether such a copy stands on the right of products: only of those ONNX Runtime may keep a copy of its own. */
export const isRightOperand = (order: KernelOrder): boolean =>
  order === 'forwardRows' || order === 'flippedRows';

/** A kernel [O,C,kh,kw] in an order. */
export function rearrange(kernel: Float32Array, shape: Size4, order: KernelOrder): Float32Array {
  if (order === 'tiles') return transformKernel(kernel, shape);
  const [o, c, kh, kw] = shape;
  const taps = kh * kw;
  const step = stepsIn(order, shape);
  const first = step.tap < 0 ? (1 - taps) * step.tap : 0;
  const copy = new Float32Array(kernel.length);
  let from = 0;
  for (let out = 0; out < o; out++)
    for (let channel = 0; channel < c; channel++) {
      let to = first + out * step.out + channel * step.channel;
      for (let tap = 0; tap < taps; tap++, to += step.tap) copy[to] = kernel[from++]!;
    }
  return copy;
}

/** How far apart neighbours lie along each axis of the kernel; negative for taps in reverse. */
function stepsIn(
  order: Exclude<KernelOrder, 'tiles'>,
  [o, c, kh, kw]: Size4,
): Record<'out' | 'channel' | 'tap', number> {
  const taps = kh * kw;
  switch (order) {
    case 'forward':
      return { out: taps * c, channel: 1, tap: c };
    case 'flipped':
      return { out: 1, channel: taps * o, tap: -o };
    case 'forwardRows':
      return { out: 1, channel: o, tap: c * o };
    case 'flippedRows':
      return { out: c, channel: 1, tap: -o * c };
    case 'mirrored':
      return { out: taps, channel: o * taps, tap: -1 };
  }
}
