/** @file What kernels should give: plain loops in double precision. */
import type { AttentionShape } from '../../src/backends/webgpu/kernels/attention.ts';
import { conv2dShape, type Shape4 } from '../../src/backends/webgpu/kernels/convolution.ts';
import type { Matmul } from '../../src/backends/webgpu/kernels/matmul.ts';

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** [...batch, m, n] of operands as they lie. */
export function product(
  { batch, m, n, k, a, b }: Matmul,
  x: Float64Array,
  y: Float64Array,
): Float64Array {
  const total = size(batch);
  const out = new Float64Array(total * m * n);
  for (let i = 0; i < total; i++) {
    let rest = i;
    const at = { a: a.offset, b: b.offset };
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      const place = rest % batch[axis]!;
      rest = Math.floor(rest / batch[axis]!);
      at.a += place * a.strides[axis]!;
      at.b += place * b.strides[axis]!;
    }
    const [aRow, aColumn] = a.strides.slice(-2) as [number, number];
    const [bRow, bColumn] = b.strides.slice(-2) as [number, number];
    for (let r = 0; r < m; r++)
      for (let c = 0; c < n; c++) {
        let sum = 0;
        for (let j = 0; j < k; j++)
          sum += x[at.a + r * aRow + j * aColumn]! * y[at.b + j * bRow + c * bColumn]!;
        out[(i * m + r) * n + c] = sum;
      }
  }
  return out;
}

export interface Convolution {
  readonly x: Shape4;
  readonly w: Shape4;
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
}

/** A convolution's result and, from a cotangent of it, both gradients. */
export function convolution(
  c: Convolution,
  values: { readonly x: Float64Array; readonly w: Float64Array; readonly dy: Float64Array },
): { y: Float64Array; dx: Float64Array; dw: Float64Array } {
  const [, channels, height, width] = c.x;
  const [, , kh, kw] = c.w;
  const out = conv2dShape(c);
  const [y, dx, dw] = [out, c.x, c.w].map((shape) => new Float64Array(size(shape))) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let n = 0; n < out[0]; n++)
    for (let o = 0; o < out[1]; o++)
      for (let oy = 0; oy < out[2]; oy++)
        for (let ox = 0; ox < out[3]; ox++)
          for (let ch = 0; ch < channels; ch++)
            for (let i = 0; i < kh; i++)
              for (let j = 0; j < kw; j++) {
                const iy = oy * c.stride[0] + i - c.padding[0];
                const ix = ox * c.stride[1] + j - c.padding[1];
                if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
                const from = ((n * channels + ch) * height + iy) * width + ix;
                const weight = ((o * channels + ch) * kh + i) * kw + j;
                const to = ((n * out[1] + o) * out[2] + oy) * out[3] + ox;
                y[to]! += values.x[from]! * values.w[weight]!;
                dx[from]! += values.dy[to]! * values.w[weight]!;
                dw[weight]! += values.dy[to]! * values.x[from]!;
              }
  return { y, dx, dw };
}

/** Attention with all scores, and its gradients. */
export function attention(
  { batch, heads, queries, keys, dim, valueDim, scale, causal }: AttentionShape,
  [q, k, v, dout]: readonly Float64Array[],
) {
  const [out, dq, dk, dv] = [
    new Float64Array(batch * queries * heads * valueDim),
    new Float64Array(q!.length),
    new Float64Array(k!.length),
    new Float64Array(v!.length),
  ];
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < queries; i++) {
        const at = (length: number, place: number, d: number) =>
          ((b * length + place) * heads + h) * d;
        const [qi, oi] = [at(queries, i, dim), at(queries, i, valueDim)];
        const scores = Array.from({ length: causal ? i + 1 : keys }, (_, j) => {
          let dot = 0;
          for (let e = 0; e < dim; e++) dot += q![qi + e]! * k![at(keys, j, dim) + e]!;
          return dot * scale;
        });
        const top = Math.max(...scores);
        const sum = scores.reduce((s, x) => s + Math.exp(x - top), 0);
        const p = scores.map((x) => Math.exp(x - top) / sum);
        const dp = p.map((_, j) => {
          let dot = 0;
          for (let e = 0; e < valueDim; e++) {
            out[oi + e]! += p[j]! * v![at(keys, j, valueDim) + e]!;
            dv[at(keys, j, valueDim) + e]! += p[j]! * dout![oi + e]!;
            dot += dout![oi + e]! * v![at(keys, j, valueDim) + e]!;
          }
          return dot;
        });
        const delta = dp.reduce((s, x, j) => s + x * p[j]!, 0);
        p.forEach((pj, j) => {
          const ds = pj * (dp[j]! - delta) * scale;
          for (let e = 0; e < dim; e++) {
            dq[qi + e]! += ds * k![at(keys, j, dim) + e]!;
            dk[at(keys, j, dim) + e]! += ds * q![qi + e]!;
          }
        });
      }
  return { out, dq, dk, dv };
}
