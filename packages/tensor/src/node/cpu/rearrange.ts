/** @file Copies of kernels in the orders that some lowerings want. */
import type { KernelOrder, Size4 } from './lowering.ts';
import { transformKernel } from './winograd.ts';

/** Of a kernel [O,C,kh,kw] in an order. */
export function rearrangedShape([o, c, kh, kw]: Size4, order: KernelOrder): readonly number[] {
  if (order === 'tiles') return [16, o, c];
  return order === 'forward' ? [kh * kw * c, o] : [kh * kw * o, c];
}

/** A kernel [O,C,kh,kw] in an order. */
export const rearrange = (kernel: Float32Array, shape: Size4, order: KernelOrder): Float32Array =>
  order === 'tiles' ? transformKernel(kernel, shape) : tapRows(kernel, shape, order);

/** One number a channel in a row, taps from the first on or in reverse. */
function tapRows(
  kernel: Float32Array,
  [o, c, kh, kw]: Size4,
  order: 'forward' | 'flipped',
): Float32Array {
  const taps = kh * kw;
  const rows = new Float32Array(kernel.length);
  let from = 0;
  for (let out = 0; out < o; out++)
    for (let channel = 0; channel < c; channel++)
      for (let tap = 0; tap < taps; tap++) {
        const row = order === 'forward' ? tap * c + channel : (taps - 1 - tap) * o + out;
        rows[order === 'forward' ? row * o + out : row * c + channel] = kernel[from++]!;
      }
  return rows;
}
