import { UsageError } from '../failures/usageError.ts';

/** Parser of a whole number for `flag`; throws UsageError naming it. */
export const wholeNumber =
  (flag: string, least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const range =
      most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `from ${least} to ${most}`;
    throw new UsageError(`${flag} must be a whole number, ${range}, not ${quoted(text)}`);
  };

/** Parser of a number for `flag`; throws UsageError naming it. */
export const realNumber =
  (flag: string, least = Number.NEGATIVE_INFINITY) =>
  (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value) && value >= least) return value;
    const range = least === Number.NEGATIVE_INFINITY ? '' : `, ${least} or more`;
    throw new UsageError(`${flag} must be a number${range}, not ${quoted(text)}`);
  };

/** Collects the values of a flag that may be given several times. */
export const several = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
];

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** As `@sdft/data` has it, which would take long to load only for `--help`. */
const LARGEST_SIDE = 4096;

/** Parser of `WxH` or one number for a square, in pixels; throws UsageError naming `flag`. */
export const size =
  (flag: string) =>
  (text: string): Size => {
    const found = /^(\d+)(?:[x×](\d+))?$/i.exec(text.trim());
    const [width, height] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])];
    if (found && [width, height].every((side) => side >= 8 && side <= LARGEST_SIDE))
      return { width, height };
    throw new UsageError(
      `${flag} must be WIDTHxHEIGHT in pixels, such as 512x768, each from 8 to ${LARGEST_SIDE}, not ${quoted(text)}`,
    );
  };

const quoted = (text: string): string => JSON.stringify(text);
