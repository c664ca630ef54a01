/** @file The three convolutions as one loop: every product of a pixel, a kernel element and a result, visited row by row. */
import type { ConvAttributes, Shape } from '../../graph/types.ts';

/**
 * `count` products along one row: pixels from `x` in steps of `xStep`, results from `y` one by one, all with the kernel element `w`.
 */
export type Taps = (w: number, x: number, xStep: number, y: number, count: number) => void;

/** Visits all products of a convolution over x [N,C,H,W] with w [O,C,kh,kw] and result y [N,O,H',W']. */
export function forEachTap(
  xShape: Shape,
  wShape: Shape,
  yShape: Shape,
  { stride: [strideY, strideX], padding: [top, left] }: ConvAttributes,
  visit: Taps,
): void {
  const [batch, channels, height, width] = xShape as [number, number, number, number];
  const [outputs, , kernelHeight, kernelWidth] = wShape as [number, number, number, number];
  const [, , rows, columns] = yShape as [number, number, number, number];
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < outputs; o++)
      for (let c = 0; c < channels; c++)
        for (let ky = 0; ky < kernelHeight; ky++)
          for (let kx = 0; kx < kernelWidth; kx++) {
            const w = ((o * channels + c) * kernelHeight + ky) * kernelWidth + kx;
            // The columns j whose pixel j strideX + kx - left lies inside of x.
            const first = Math.max(0, Math.ceil((left - kx) / strideX));
            const end = Math.min(columns, Math.ceil((width + left - kx) / strideX));
            for (let i = 0; i < rows; i++) {
              const y = i * strideY + ky - top;
              if (y < 0 || y >= height || end <= first) continue;
              visit(
                w,
                ((n * channels + c) * height + y) * width + first * strideX + kx - left,
                strideX,
                ((n * outputs + o) * rows + i) * columns + first,
                end - first,
              );
            }
          }
}
