/** @file Walking two arrays of one shape side by side, each with its own strides: all that data movement and reductions need. */
import type { Shape } from '../../graph/types.ts';

export type Data = Float64Array | Int32Array | Uint8Array;
export interface View {
  readonly strides: readonly number[];
  readonly offset?: number;
}
/** One run along the last axis: `length` elements, from `a` in steps of `aStep`, from `b` in steps of `bStep`. */
export type Row = (length: number, a: number, aStep: number, b: number, bStep: number) => void;

/** Calls `row` for every run along the last axis of `shape`. */
export function forEachRow(shape: Shape, a: View, b: View, row: Row): void {
  const last = shape.length - 1;
  const descend = (axis: number, aAt: number, bAt: number): void => {
    if (axis >= last) {
      row(shape[last] ?? 1, aAt, a.strides[last] ?? 0, bAt, b.strides[last] ?? 0);
      return;
    }
    for (let i = 0; i < shape[axis]!; i++)
      descend(axis + 1, aAt + i * a.strides[axis]!, bAt + i * b.strides[axis]!);
  };
  descend(0, a.offset ?? 0, b.offset ?? 0);
}

/** Copies `shape` elements of `source`, laid out as `from`, to `target`, laid out as `to`. */
export function copy(shape: Shape, source: Data, from: View, target: Data, to: View): void {
  forEachRow(shape, from, to, (length, a, aStep, b, bStep) => {
    if (aStep === 0 && bStep === 1) target.fill(source[a]!, b, b + length);
    else for (let i = 0; i < length; i++) target[b + i * bStep] = source[a + i * aStep]!;
  });
}
