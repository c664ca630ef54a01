/** `0.21 s`, `12 s` */
export function seconds(value: number): string {
  return `${value < 10 ? value.toPrecision(2) : value.toFixed(0)} s`;
}

/** `0:42`, `1:02:03`; from seconds. */
export function clock(value: number): string {
  const whole = Math.round(value);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number): string => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `640 MB`, `1.24 GB`; powers of 1000. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** `3 pictures`, `1 picture` */
export function counted(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}
