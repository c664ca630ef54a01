/**
 * @file 3x3 convolutions in tiles: F(2x2, 3x3) of Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1. Four pixels cost 16 multiplications for each pair of
 * channels where the definition has 36. Measured figures: docs/decisions/0001-one-onnx-graph.md.
 */
import type { ConvAttributes, Graph } from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';
import type { Size4 } from './lowering.ts';
import { choosePacked, type Packable } from './copies.ts';

type Matrix = readonly (readonly number[])[];

/** Of kernels, of pictures and of results: Y = A' [(G g G') * (B' d B)] A. */
const G: Matrix = [
  [1, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, -0.5, 0.5],
  [0, 0, 1],
];
const B_TRANSPOSED: Matrix = [
  [1, 0, -1, 0],
  [0, 1, 1, 0],
  [0, -1, 1, 0],
  [0, 1, 0, -1],
];
const A_TRANSPOSED: Matrix = [
  [1, 1, 1, 0],
  [0, 1, -1, -1],
];
/** A kernel's taps in reverse are its transform with the first row and the last one exchanged. */
const AS_STORED = [0, 1, 2, 3];
const FLIPPED = [3, 1, 2, 0];

/** Channels on either side from which on what is saved outweighs the passes over tiles. */
const LEAST_CHANNELS = 256;
/** Pixels of a picture from which on it does. */
const LEAST_PIXELS = 256;
/** Bytes that a convolution's tiles may take. */
const MOST_BYTES = 128 * 2 ** 20;

/** Whether a convolution between [N,K,H,W] and [N,M,H,W], its gradient included, is faster in tiles. `kernel` [O,C,kh,kw] */
export function isFasterInTiles(
  [n, , h, w]: Size4,
  [o, c, kh, kw]: Size4,
  { stride, padding }: ConvAttributes,
): boolean {
  return (
    kh === 3 &&
    kw === 3 &&
    stride.every((s) => s === 1) &&
    padding.every((p) => p === 1) &&
    h % 2 === 0 &&
    w % 2 === 0 &&
    Math.min(o, c) >= LEAST_CHANNELS &&
    h * w >= LEAST_PIXELS &&
    16 * n * h * w * (o + c) <= MOST_BYTES
  );
}

export const bytesInTiles = ([o, c]: Size4): number => 4 * 16 * o * c;

/** Frozen kernels that are to be kept transformed: those worth most by the byte, as many as fit into `budget` bytes. */
export function kernelsInTiles(
  { nodes }: Graph,
  live: readonly boolean[],
  budget: number,
): ReadonlySet<string> {
  const candidates = new Map<string, Packable>();
  nodes.forEach((node, id) => {
    if (!live[id] || (node.op !== 'conv2d' && node.op !== 'conv2dGradInput')) return;
    const weight = nodes[node.inputs[1]!]!;
    if (weight.op !== 'weight') return;
    const kernel = weight.shape as unknown as Size4;
    const [n, channels, h, w] = node.shape as unknown as Size4;
    if (!isFasterInTiles([n, channels, h, w], kernel, node.attrs)) return;
    const { name } = weight.attrs;
    const gain = (candidates.get(name)?.gain ?? 0) + n * h * w;
    candidates.set(name, { bytes: bytesInTiles(kernel), gain });
  });
  return choosePacked(candidates, budget);
}

/** [O,C,3,3] -> [16,O,C] */
export function transformKernel(kernel: Float32Array, [o, c]: Size4): Float32Array {
  const pairs = o * c;
  const result = new Float32Array(16 * pairs);
  for (let pair = 0; pair < pairs; pair++) {
    for (let a = 0; a < 4; a++) {
      const [x, y, z] = G[a] as [number, number, number];
      const k = 9 * pair;
      const first = x * kernel[k]! + y * kernel[k + 3]! + z * kernel[k + 6]!;
      const second = x * kernel[k + 1]! + y * kernel[k + 4]! + z * kernel[k + 7]!;
      const third = x * kernel[k + 2]! + y * kernel[k + 5]! + z * kernel[k + 8]!;
      const at = 4 * a * pairs + pair;
      result[at] = first;
      result[at + pairs] = 0.5 * (first + second + third);
      result[at + 2 * pairs] = 0.5 * (first - second + third);
      result[at + 3 * pairs] = third;
    }
  }
  return result;
}

/** Rows of the one matrix times rows of the other, as what a picture's patch is multiplied with: [rows^2, columns^2]. */
const squared = (matrix: Matrix): number[] =>
  matrix.flatMap((p) => matrix.flatMap((q) => p.flatMap((x) => q.map((y) => x * y))));

interface Tiles {
  /** [16,O,C] */
  readonly kernel: Name;
  /** Channels of the result: O, or of a gradient C. */
  readonly channels: number;
  /** Whether it is the gradient of a convolution's input: the kernel transposed, its taps in reverse. */
  readonly gradient: boolean;
  /** [channels] */
  readonly bias?: Name | undefined;
}

/** x [N,K,H,W] -> [N,M,H,W], for what `isFasterInTiles` */
export function emitInTiles(
  e: Emitter,
  x: Name,
  [n, k, h, w]: Size4,
  { kernel, channels: m, gradient, bias }: Tiles,
): Name {
  const order = gradient ? FLIPPED : AS_STORED;
  const tiles = (h / 2) * (w / 2);
  const byChannel = n === 1 ? x : e.transpose(x, [1, 0, 2, 3]);
  const patches = e.f32(squared(order.map((row) => B_TRANSPOSED[row]!)), [16, 1, 4, 4]);
  const seen = e.node('Conv', [e.reshape(byChannel, [k * n, 1, h, w]), patches], {
    attributes: { kernel_shape: [4, 4], strides: [2, 2], pads: [1, 1, 1, 1] },
  });
  const byPosition = n === 1 ? seen : e.transpose(e.reshape(seen, [k, n, 16, tiles]), [0, 2, 1, 3]);
  const product = e.matmul(kernel, e.reshape(byPosition, [k, 16, n * tiles]), {
    transA: gradient,
    batchBInside: true,
  });
  const gather = e.f32(squared(A_TRANSPOSED.map((row) => order.map((at) => row[at]!))), [4, 16]);
  const quarters = e.node('MatMul', [gather, e.reshape(product, [16, m * n * tiles])]);
  const whole = e.node('DepthToSpace', [e.reshape(quarters, [1, 4 * m * n, h / 2, w / 2])], {
    attributes: { blocksize: 2 },
  });
  const pictures = e.reshape(whole, [m, n, h, w]);
  const result = n === 1 ? e.reshape(pictures, [1, m, h, w]) : e.transpose(pictures, [1, 0, 2, 3]);
  return bias === undefined ? result : e.node('Add', [result, e.reshape(bias, [m, 1, 1])]);
}
