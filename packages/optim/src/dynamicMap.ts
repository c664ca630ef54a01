/** @file bitsandbytes' 8-bit numbers with dynamic exponents, and from numbers to the nearest of them. */
import { full, literal, type Tensor } from '@sdft/tensor';

const DECADES = 7;
/** Where the line of decade i starts and how steep it is: of a number a in (10^(i-7), 10^(i-6)] it makes 2^i to 2^(i+1), one for each of its 2^i cells. */
const line = (i: number) => ({ slope: (2 ** i * 10 ** (6 - i)) / 0.9, at0: (2 ** i * 0.8) / 0.9 });
const lines = Array.from({ length: DECADES }, (_, i) => line(i));
/** The lines meet at the ends of their decades, each flatter than the one before: the lowest is the right one. */
const rankOf = (a: number): number => Math.min(...lines.map(({ slope, at0 }) => slope * a + at0));

/**
 * The positive values in ascending order, from 0 to 1 (Dettmers 2015; bitsandbytes' `create_dynamic_map`): decade i has `cells` 2^i of them, in the middle of equal parts of
 * 10^(i-7) to 10^(i-6).
 */
const positives = (cells: 1 | 2): number[] => [
  0,
  ...Array.from({ length: DECADES }, (_, i) => {
    const count = cells * 2 ** i;
    return Array.from(
      { length: count },
      (__, k) => 10 ** (i - 6) * (0.1 + (0.9 * (k + 0.5)) / count),
    );
  }).flat(),
  1,
];

/** A map of 256 values. */
export interface DynamicMap {
  /** By code, ascending. */
  readonly values: readonly number[];
  /** Codes, u8, of the values nearest to numbers in -1..1 (0..1 for the unsigned map). */
  encode(x: Tensor): Tensor;
  /** The values of codes. */
  decode(codes: Tensor): Tensor;
}

/** -0.993 to 1, more finely towards 0. */
export const signedMap: DynamicMap = mapOf(1, true);
/** 0 to 1, more finely towards 0. */
export const unsignedMap: DynamicMap = mapOf(2, false);

function mapOf(cells: 1 | 2, signed: boolean): DynamicMap {
  const up = positives(cells);
  // -1 is no value of the signed map.
  const down = signed ? up.slice(1, -1).map((value) => -value) : [];
  const values = [...down.reverse(), ...up];
  const zero = down.length;
  const guess = (a: number): number => cells * rankOf(a) - (cells - 1);
  /** Where, among guesses, the nearest value changes from number k - 1 to number k: at k, or just after it where a decade begins; before it at the very end. */
  const borders = up.map((value, k) => (k === 0 ? -1 : guess((value + up[k - 1]!) / 2)));
  const last = up.length - 1;
  return {
    values,
    decode: (codes) => literal(codes.builder, values, [values.length]).gather(codes.cast('i32')),
    encode: (x) => {
      const a = signed ? x.abs() : x;
      const lowest = lines
        .map(({ slope, at0 }) => a.mul(cells * slope).add(cells * at0 - (cells - 1)))
        .reduce((low, one) => low.minimum(one));
      // NaN has a code too: a step that is not finite is thrown away whole, and has to come so far.
      const whole = lowest.cast('i32').maximum(0).minimum(last);
      const tooHigh = lowest.less(literal(x.builder, borders, [borders.length]).gather(whole));
      const below = tooHigh.where(whole.sub(1), whole);
      const rank = lowest.less(borders[last]!).where(below, full(x, [], last, 'i32'));
      const code = signed
        ? x
            .less(0)
            .where(rank.minimum(last - 1).mul(-1), rank)
            .add(zero)
        : rank;
      return code.cast('u8');
    },
  };
}
