/** @file The three convolutions as products of matrices: kernels [O, C kh kw] and patches, the pixels under the kernel at each place. */
import type { ConvAttributes, Shape } from '../../graph/types.ts';
import { addProduct, type Matrix } from './matrix.ts';
import type { Data } from './strided.ts';

type Four = readonly [number, number, number, number];
const places = (shape: Shape): Four => shape as unknown as Four;

/** One row of one picture's results. */
interface PatchRow {
  /** Which of the pixels of x each element of the patches is, [W', C kh kw]; -1 for padding. */
  readonly pixels: Int32Array;
  /** The kernels' length, C kh kw. */
  readonly length: number;
  /** Where the row lies in y, seen as [O, W']. */
  readonly results: (y: Data) => Matrix;
}

/** Visits a convolution of x [N,C,H,W] with w [O,C,kh,kw] to y [N,O,H',W'], row by row of the results. */
function forEachRow(
  [xShape, wShape, yShape]: readonly [Shape, Shape, Shape],
  { stride, padding: [top, left] }: ConvAttributes,
  visit: (row: PatchRow) => void,
): void {
  const [batch, channels, height, width] = places(xShape);
  const [outputs, , kernelHeight, kernelWidth] = places(wShape);
  const [, , rows, columns] = places(yShape);
  const length = channels * kernelHeight * kernelWidth;
  const pixels = new Int32Array(columns * length);
  for (let n = 0; n < batch; n++)
    for (let i = 0; i < rows; i++) {
      let at = 0;
      for (let j = 0; j < columns; j++)
        for (let c = 0; c < channels; c++)
          for (let ky = 0; ky < kernelHeight; ky++)
            for (let kx = 0; kx < kernelWidth; kx++) {
              const y = i * stride[0] + ky - top;
              const x = j * stride[1] + kx - left;
              const inside = y >= 0 && y < height && x >= 0 && x < width;
              pixels[at++] = inside ? ((n * channels + c) * height + y) * width + x : -1;
            }
      visit({
        pixels,
        length,
        results: (data) => ({
          data,
          at: (n * outputs * rows + i) * columns,
          row: rows * columns,
          column: 1,
        }),
      });
    }
}

/** The numbers in the patches, [W', C kh kw]; padding is 0. */
function patchesOf({ pixels, length }: PatchRow, x: Data): Matrix {
  const data = new Float64Array(pixels.length);
  for (let i = 0; i < data.length; i++) data[i] = pixels[i]! < 0 ? 0 : x[pixels[i]!]!;
  return { data, at: 0, row: length, column: 1 };
}

const kernelsOf = (data: Data, { length }: PatchRow): Matrix => ({
  data,
  at: 0,
  row: length,
  column: 1,
});
const turned = ({ data, at, row, column }: Matrix): Matrix => ({
  data,
  at,
  row: column,
  column: row,
});

type Shapes = readonly [x: Shape, w: Shape, y: Shape];

/** Adds the convolution of `x` with `w` to `y`. */
export function convolve(shapes: Shapes, attrs: ConvAttributes, x: Data, w: Data, y: Data): void {
  const [outputs, columns] = [shapes[1][0]!, shapes[2][3]!];
  forEachRow(shapes, attrs, (row) =>
    addProduct(row.results(y), kernelsOf(w, row), turned(patchesOf(row, x)), [
      outputs,
      row.length,
      columns,
    ]),
  );
}

/** Adds the gradient of its pixels to `dx`. */
export function convolveBack(
  shapes: Shapes,
  attrs: ConvAttributes,
  dx: Data,
  w: Data,
  dy: Data,
): void {
  const [outputs, columns] = [shapes[1][0]!, shapes[2][3]!];
  forEachRow(shapes, attrs, (row) => {
    const { pixels, length } = row;
    const patches = { data: new Float64Array(pixels.length), at: 0, row: length, column: 1 };
    addProduct(patches, turned(row.results(dy)), kernelsOf(w, row), [columns, outputs, length]);
    for (let i = 0; i < pixels.length; i++)
      if (pixels[i]! >= 0) dx[pixels[i]!]! += patches.data[i]!;
  });
}

/** Adds the gradient of its kernels to `dw`. */
export function convolveKernels(
  shapes: Shapes,
  attrs: ConvAttributes,
  x: Data,
  dw: Data,
  dy: Data,
): void {
  const [outputs, columns] = [shapes[1][0]!, shapes[2][3]!];
  forEachRow(shapes, attrs, (row) =>
    addProduct(kernelsOf(dw, row), row.results(dy), patchesOf(row, x), [
      outputs,
      columns,
      row.length,
    ]),
  );
}
