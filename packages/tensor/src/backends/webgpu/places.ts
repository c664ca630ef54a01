/** @file Where an element lies, as WGSL: unsigned expressions that know how large they can be, and coordinates made of them. */
import { type Shape, sizeOf, stridesOf } from '../../graph/types.ts';

/** A u32 expression; `max`: its largest value. A known number has it as `value`. */
export interface Term {
  readonly code: string;
  readonly max: number;
  readonly value?: number;
}

export const number = (value: number): Term => ({ code: `${value}u`, max: value, value });
export const variable = (code: string, below: number): Term =>
  below === 1 ? number(0) : { code, max: below - 1 };

export function plus(a: Term, b: Term): Term {
  if (a.value === 0) return b;
  if (b.value === 0) return a;
  if (a.value !== undefined && b.value !== undefined) return number(a.value + b.value);
  return { code: `(${a.code} + ${b.code})`, max: a.max + b.max };
}
/** Only where `a` is known to be at least `b`. */
export const minus = (a: Term, b: number): Term =>
  b === 0
    ? a
    : a.value !== undefined
      ? number(a.value - b)
      : { code: `(${a.code} - ${b}u)`, max: a.max - b };
export function times(a: Term, by: number): Term {
  if (by === 1) return a;
  if (by === 0) return number(0);
  return a.value !== undefined
    ? number(a.value * by)
    : { code: `(${a.code} * ${by}u)`, max: a.max * by };
}
export function over(a: Term, by: number): Term {
  if (by === 1) return a;
  if (a.max < by) return number(0);
  return a.value !== undefined
    ? number(Math.floor(a.value / by))
    : { code: `(${a.code} / ${by}u)`, max: Math.floor(a.max / by) };
}
export function modulo(a: Term, by: number): Term {
  if (a.max < by) return a;
  if (by === 1) return number(0);
  return a.value !== undefined
    ? number(a.value % by)
    : { code: `(${a.code} % ${by}u)`, max: by - 1 };
}

/** One coordinate: (base / inner) mod length. */
export interface Axis {
  readonly length: number;
  readonly base: Term;
  readonly inner: number;
}
/** The coordinates of an element of a tensor, axis by axis. */
export type Place = readonly Axis[];

export const keyOf = (place: Place): string =>
  place.map(({ length, base, inner }) => `${base.code}/${inner}%${length}`).join();

export const coordinate = ({ length, base, inner }: Axis): Term =>
  length === 1 ? number(0) : modulo(over(base, inner), length);

/** The coordinate `term` of an axis. */
export const axisAt = (length: number, term: Term): Axis => ({ length, base: term, inner: 1 });

/** The element whose row-major number is `flat`. */
export const placeAt = (shape: Shape, flat: Term): Place =>
  stridesOf(shape).map((inner, i) => ({ length: shape[i]!, base: flat, inner }));

/** Neighbouring axes that count on from each other, as one, with what a step along it means in `strides`. Axes of length 1 are left out. */
function merged(place: Place, strides: readonly number[]): (Axis & { stride: number })[] {
  const groups: (Axis & { stride: number })[] = [];
  for (let i = place.length - 1; i >= 0; i--) {
    const axis = place[i]!;
    if (axis.length === 1) continue;
    const stride = strides[i]!;
    const last = groups[0];
    if (
      last &&
      axis.base.code === last.base.code &&
      axis.inner === last.inner * last.length &&
      stride === last.stride * last.length
    )
      groups[0] = { ...last, length: last.length * axis.length };
    else groups.unshift({ ...axis, stride });
  }
  return groups;
}

/** offset + the sum of coordinates times strides. */
export const affine = (place: Place, strides: readonly number[], offset = 0): Term =>
  merged(place, strides).reduce(
    (sum, group) =>
      plus(sum, times(group.stride === 0 ? number(0) : coordinate(group), group.stride)),
    number(offset),
  );

/**
 * How the elements that follow `place` lie, up to three of them, where its row-major number is the variable `number`, a multiple of four: beside each other from a multiple of four on (`four`), or all in
 * one (`one`); undefined where neither is known.
 */
export function alongFour(
  place: Place,
  strides: readonly number[],
  offset: number,
  number: string,
): 'four' | 'one' | undefined {
  let found: 'four' | 'one' = 'one';
  let aligned = offset % 4 === 0;
  for (const { base, inner, length, stride } of merged(place, strides)) {
    if (stride === 0 || base.value !== undefined) continue;
    if (base.code !== number) return undefined;
    if (inner === 1 && stride === 1 && length % 4 === 0) found = 'four';
    else if (inner % 4 === 0) aligned &&= stride % 4 === 0;
    else return undefined;
  }
  return found === 'one' || aligned ? found : undefined;
}

/** The row-major number of the element. */
export const flatOf = (place: Place): Term =>
  affine(place, stridesOf(place.map(({ length }) => length)));

/** Runs of axes of two shapes of one size that hold the same elements: [from, to) in each. */
export function sharedRuns(
  a: Shape,
  b: Shape,
): { a: readonly [number, number]; b: readonly [number, number] }[] {
  const runs: { a: readonly [number, number]; b: readonly [number, number] }[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [fromA, fromB] = [i, j];
    let [sizeA, sizeB] = [1, 1];
    do {
      if (sizeA <= sizeB && i < a.length) sizeA *= a[i++]!;
      else sizeB *= b[j++]!;
    } while (sizeA !== sizeB);
    // Trailing axes of length 1 belong to the run that they end.
    while (i < a.length && a[i] === 1) i++;
    while (j < b.length && b[j] === 1) j++;
    runs.push({ a: [fromA, i], b: [fromB, j] });
  }
  return runs;
}

/** The same element in a tensor seen with another shape. `bind` gives a name to what is used more than once. */
export function reshaped(place: Place, shape: Shape, bind: (term: Term) => Term): Place {
  const from = place.map(({ length }) => length);
  return sharedRuns(from, shape).flatMap(({ a, b }) => {
    const axes = place.slice(...a);
    const target = shape.slice(...b);
    const groups = merged(axes, stridesOf(axes.map(({ length }) => length)));
    const strides = stridesOf(target);
    const [one] = groups;
    if (!one) return target.map((length) => axisAt(length, number(0)));
    if (groups.length === 1)
      return target.map((length, i) => ({
        length,
        base: one.base,
        inner: one.inner * strides[i]!,
      }));
    const base = bind(flatOf(axes));
    return target.map((length, i) => ({ length, base, inner: strides[i]! }));
  });
}

/** A tensor as it lies in a stored one: element e of it is at offset + the sum of coordinates times strides. */
export interface View {
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
}
export const contiguous = (shape: Shape): View => ({ shape, strides: stridesOf(shape), offset: 0 });
export const isContiguous = ({ shape, strides, offset }: View): boolean => {
  const wanted = stridesOf(shape);
  return offset === 0 && shape.every((d, i) => d === 1 || strides[i] === wanted[i]);
};

/** A view seen with another shape; undefined where its elements do not lie evenly. */
export function reshapedView({ shape, strides, offset }: View, to: Shape): View | undefined {
  const result: number[] = [];
  for (const { a, b } of sharedRuns(shape, to)) {
    const lengths = shape.slice(...a);
    const steps = strides.slice(...a);
    const long = lengths.flatMap((d, i) => (d > 1 ? [i] : []));
    const even = long.every((axis, n) => {
      const next = long[n + 1];
      return next === undefined || steps[axis] === steps[next]! * lengths[next]!;
    });
    if (!even) return undefined;
    const last = long.at(-1);
    const step = last === undefined ? 0 : steps[last]!;
    result.push(...stridesOf(to.slice(...b)).map((s) => s * step));
  }
  return sizeOf(to) === sizeOf(shape) ? { shape: to, strides: result, offset } : undefined;
}
