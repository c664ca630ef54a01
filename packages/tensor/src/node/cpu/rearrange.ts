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
  const copy = new Float32Array(kernel.length);
  const place = placeIn(order, shape);
  let from = 0;
  for (let out = 0; out < o; out++)
    for (let channel = 0; channel < c; channel++)
      for (let tap = 0; tap < taps; tap++) copy[place(out, channel, tap)] = kernel[from++]!;
  return copy;
}

/** Where the number of a pair of channels and a tap goes. */
function placeIn(
  order: Exclude<KernelOrder, 'tiles'>,
  [o, c, kh, kw]: Size4,
): (out: number, channel: number, tap: number) => number {
  const taps = kh * kw;
  const last = taps - 1;
  switch (order) {
    case 'forward':
      return (out, channel, tap) => (out * taps + tap) * c + channel;
    case 'flipped':
      return (out, channel, tap) => (channel * taps + last - tap) * o + out;
    case 'forwardRows':
      return (out, channel, tap) => (tap * c + channel) * o + out;
    case 'flippedRows':
      return (out, channel, tap) => ((last - tap) * o + out) * c + channel;
    case 'mirrored':
      return (out, channel, tap) => (channel * o + out) * taps + last - tap;
  }
}
