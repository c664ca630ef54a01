/** @file Custom operations that can be held against the same function made of primitives. */
import { customOp, type Tensor } from '../../src/index.ts';

const swishSlope = customOp({
  name: 'swishSlope',
  output: (upstream) => upstream.shape,
  kernel(upstream: number[][][], x: number[][][]) {
    const { x: i, y, z } = this.thread;
    const s = 1 / (1 + Math.exp(-x[z]![y]![i]!));
    return upstream[z]![y]![i]! * s * (1 + x[z]![y]![i]! * (1 - s));
  },
});
/** x sigmoid(x), of a tensor with three axes or more. */
export const swish = customOp({
  name: 'swish',
  output: (x) => x.shape,
  kernel(x: number[][][]) {
    const v = x[this.thread.z]![this.thread.y]![this.thread.x]!;
    return v / (1 + Math.exp(-v));
  },
  gradient: (upstream, x) => [swishSlope(upstream, x)],
});

function leaky(v: number, slope: number) {
  if (v > 0) return v;
  return v * slope;
}
/** leaky(scale * rows x columns^T): [m, k] and [n, k] to [m, n]; its gradient is made of primitives. */
export const product = customOp({
  name: 'product',
  output: (a, b) => [a.shape[0]!, b.shape[0]!],
  constants: { scale: 0.5, slope: 0.25 },
  functions: [leaky],
  kernel(a: number[][], b: number[][]) {
    let sum = 0;
    for (let k = 0; k < 5; k++) sum += a[this.thread.y]![k]! * b[this.thread.x]![k]!;
    return leaky(sum * this.constants.scale, this.constants.slope);
  },
  gradient: (upstream, a, b) => {
    const c = slopeOf(a, b).mul(upstream);
    return [c.matmul(b), c.transpose().matmul(a)];
  },
});
const slopeOf = (a: Tensor, b: Tensor): Tensor =>
  a.matmul(b, { transposeB: true }).greater(0).where(0.5, 0.125);
/** The same in primitives, differentiated by its rules. */
export const plainProduct = (a: Tensor, b: Tensor): Tensor => {
  const sum = a.matmul(b, { transposeB: true }).mul(0.5);
  return sum.greater(0).where(sum, sum.mul(0.25));
};

/** Its own number, times a factor, for each element: no axis at all, or one. */
export const doubled = customOp({
  name: 'doubled',
  output: (x) => x.shape,
  kernel(x: number[]) {
    return 2 * x[this.thread.x]!;
  },
  gradient: (upstream) => [upstream.mul(2)],
});
