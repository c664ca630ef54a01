/** @file How tensors look to a kernel, which knows up to three axes. */
import type { Shape } from '../graph/types.ts';

/** At most three axes, outermost first: the first ones joined; [1] for none. */
export function seenBy(shape: Shape): number[] {
  if (shape.length === 0) return [1];
  const joined = shape.slice(0, Math.max(0, shape.length - 2));
  return joined.length < 2 ? [...shape] : [joined.reduce((n, d) => n * d, 1), ...shape.slice(-2)];
}

/** The same from x, the innermost, as gpu.js counts. */
export const sizesOf = (shape: Shape): number[] => seenBy(shape).reverse();
