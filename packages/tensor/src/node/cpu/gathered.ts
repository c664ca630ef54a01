/** @file Convolutions of small pictures in a batch: taps gathered into columns, and one product over all pictures. Measured figures: docs/decisions/0001-one-onnx-graph.md. */
import type { Emitter, Name } from './emit.ts';
import type { KernelOrder, Size4 } from './lowering.ts';

type Pair = readonly [number, number];

/** Pixels of all pictures of a result up to which the kernel stands on the left, where ONNX Runtime reads it as it lies. */
const FEW = 128;

/** In which order a kernel is wanted for such a result [N,M,H,W]. */
export function gatheredOrder([n, , h, w]: Size4, isGradient: boolean): KernelOrder {
  if (n * h * w <= FEW) return isGradient ? 'flipped' : 'forward';
  return isGradient ? 'flippedRows' : 'forwardRows';
}

/** Which pixel of the source, if any, tap (i, j) of the result's pixel (y, x) is: ((y, x) step + (i, j) - offset) / every. */
export interface Taps {
  /** Height and width of a kernel. */
  readonly kernel: Pair;
  readonly offset: Pair;
  /** Stride of a convolution. */
  readonly step?: Pair;
  /** Stride of one whose gradient this is. */
  readonly every?: Pair;
}

/** x [N,A,h,w] and a kernel in the order that `gatheredOrder` names (and bias [B]) -> [N,B,H,W] */
export function emitGathered(
  e: Emitter,
  x: Name,
  from: Size4,
  kernel: Name,
  bias: Name | undefined,
  to: Size4,
  taps: Taps,
): Name {
  const [n, a, h, w] = from;
  const [, b, oh, ow] = to;
  const [kh, kw] = taps.kernel;
  const rows = n * oh * ow;
  const pixels = e.reshape(e.transpose(x, [0, 2, 3, 1]), [n * h * w, a]);
  // Taps outside of the picture read one more row, of zeros.
  const source = e.node('Concat', [pixels, e.f32(new Array<number>(a).fill(0), [1, a])], {
    attributes: { axis: 0 },
  });
  const indices = e.constant(
    'i32',
    [rows, kh * kw],
    new Uint8Array(pixelsOf(from, to, taps).buffer),
  );
  const columns = e.reshape(e.node('Gather', [source, indices], { attributes: { axis: 0 } }), [
    rows,
    kh * kw * a,
  ]);
  if (rows <= FEW) {
    const product =
      bias === undefined
        ? e.matmul(kernel, columns, { transB: true })
        : e.node('Gemm', [kernel, columns, e.reshape(bias, [b, 1])], { attributes: { transB: 1 } });
    return e.transpose(e.reshape(product, [b, n, oh, ow]), [1, 0, 2, 3]);
  }
  const product =
    bias === undefined ? e.matmul(columns, kernel) : e.node('Gemm', [columns, kernel, bias]);
  return e.transpose(e.reshape(product, [n, oh, ow, b]), [0, 3, 1, 2]);
}

/** Numbers of pixels, [N H W, kh kw]; N h w for what lies outside. */
function pixelsOf(
  [n, , h, w]: Size4,
  [, , oh, ow]: Size4,
  { kernel: [kh, kw], offset, step = [1, 1], every = [1, 1] }: Taps,
): Int32Array {
  const along = (axis: 0 | 1, length: number, at: number, tap: number): number | undefined => {
    const place = (at * step[axis] + tap - offset[axis]) / every[axis];
    return Number.isInteger(place) && place >= 0 && place < length ? place : undefined;
  };
  const pixels = new Int32Array(n * oh * ow * kh * kw);
  let k = 0;
  for (let picture = 0; picture < n; picture++)
    for (let y = 0; y < oh; y++)
      for (let z = 0; z < ow; z++)
        for (let i = 0; i < kh; i++)
          for (let j = 0; j < kw; j++) {
            const [sy, sz] = [along(0, h, y, i), along(1, w, z, j)];
            pixels[k++] =
              sy === undefined || sz === undefined ? n * h * w : (picture * h + sy) * w + sz;
          }
  return pixels;
}
