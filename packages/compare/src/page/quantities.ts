/** @file Numbers as people read them. */

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** No break before a unit. */
const SPACE = '\u00a0';
const MINUS = '\u2212';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `640 MB`, `1.24 GB`; powers of 1000. */
export function bytes(count: number): string {
  const power = Math.min(
    UNITS.length - 1,
    Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)),
  );
  return `${three.format(count / 1000 ** power)}${SPACE}${UNITS[power]}`;
}

/** `1,536`, `3.41 million` */
export const count = (value: number): string =>
  value < 1e6 ? grouped.format(value) : `${three.format(value / 1e6)}${SPACE}million`;

/** `48 s`, `2 min 05 s`, `1 h 02 min`; from seconds. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 10) return `${three.format(seconds)}${SPACE}s`;
  if (whole < 60) return `${whole}${SPACE}s`;
  const minutes = Math.round(whole / 60);
  return whole < 3600
    ? `${Math.floor(whole / 60)}${SPACE}min ${two(whole % 60)}${SPACE}s`
    : `${Math.floor(minutes / 60)}${SPACE}h ${two(minutes % 60)}${SPACE}min`;
}

/** `0.1041` */
export const loss = (value: number): string =>
  value >= 10 ? three.format(value) : value.toFixed(4);

/** `84 %` */
export const percent = (share: number): string => `${Math.round(100 * share)}${SPACE}%`;

/** `0.84` */
export const score = (value: number): string => value.toFixed(2);

/** `+3.1 %` */
export function change(from: number, to: number): string {
  const risen = 100 * (to / from - 1);
  const size = Math.abs(risen).toFixed(1);
  const sign = size === '0.0' ? '±' : risen < 0 ? MINUS : '+';
  return `${sign}${size}${SPACE}%`;
}

/** `3 pictures`, `1 picture` */
export const counted = (value: number, one: string): string =>
  `${grouped.format(value)} ${one}${value === 1 ? '' : 's'}`;

/** `a, b and c` */
export const listed = (texts: readonly string[]): string =>
  texts.length < 2
    ? (texts[0] ?? '')
    : `${texts.slice(0, -1).join(', ')} and ${texts[texts.length - 1]}`;
