import { literal, type Tensor, UserError } from '@sdft/tensor';

/** How sharp it is: Pillow's, and torch's with antialiasing. */
const A = -0.5;

/**
 * Pictures [B,C,H,W] reduced to [B,C,height,width], bicubic and antialiased, as Pillow and torch's `interpolate(mode="bicubic", antialias=True)` do it. Beyond edges it
 * overshoots.
 */
export function bicubic(pictures: Tensor, height: number, width: number): Tensor {
  const [, , tall, wide] = pictures.shape as [number, number, number, number];
  return reduction(pictures, tall, height)
    .matmul(pictures)
    .matmul(reduction(pictures, wide, width), { transposeB: true });
}

/** [to, from]: each row holds the weights of one pixel, which add up to 1. */
function reduction(partner: Tensor, from: number, to: number): Tensor {
  if (to > from) throw new UserError(`bicubic: ${from} pixels cannot be reduced to ${to}`);
  const scale = from / to;
  const data = Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const row = Array.from({ length: from }, (_, j) => kernel((j + 0.5 - centre) / scale));
    const sum = row.reduce((total, weight) => total + weight, 0);
    return row.map((weight) => weight / sum);
  });
  return literal(partner.builder, data.flat(), [to, from]);
}

/** Keys 1981, equation 4. */
function kernel(x: number): number {
  const d = Math.abs(x);
  if (d >= 2) return 0;
  return d < 1 ? (A + 2) * d ** 3 - (A + 3) * d ** 2 + 1 : A * (d ** 3 - 5 * d ** 2 + 8 * d - 4);
}
