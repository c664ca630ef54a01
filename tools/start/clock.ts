/** @file How long the experiment will still take. */

/** A piece of work: `count` equal units, each of them `cost` seconds on two quiet cores, and `start` seconds before the first. */
export interface Part {
  readonly title: string;
  readonly count: number;
  readonly cost: number;
  readonly start: number;
}

/**
 * Time left, from what the parts cost on the machine on which they were measured and how fast this one has been so far.
 */
export class Clock {
  readonly #parts: readonly Part[];
  readonly #done: number[];
  readonly #began: boolean[];
  /** Cost of what was done while this clock ran, and the seconds that it took. */
  #paid = 0;
  #spent = 0;

  constructor(parts: readonly Part[]) {
    this.#parts = parts;
    this.#done = parts.map(() => 0);
    this.#began = parts.map(() => false);
  }

  /** Units of part `i` that were done before; they say nothing about this machine. */
  before(i: number, done: number): void {
    this.#done[i] = done;
  }

  /** Part `i` has done `done` units; the last ones took `seconds`, what comes before the first unit included. */
  advance(i: number, done: number, seconds: number): void {
    const { cost, start } = this.#parts[i]!;
    this.#paid += (done - this.#done[i]!) * cost + (this.#began[i] ? 0 : start);
    this.#spent += seconds;
    this.#began[i] = true;
    this.#done[i] = done;
  }

  /** Seconds that part `i` will still take. */
  leftOf(i: number): number {
    return this.#costLeft(i) * this.#pace();
  }

  /** Seconds that all will still take. */
  left(): number {
    return this.#parts.reduce((sum, _, i) => sum + this.leftOf(i), 0);
  }

  /** Share of the whole that is done, by cost. */
  share(): number {
    const whole = this.#parts.reduce(
      (sum, { count, cost, start }) => sum + (count > 0 ? count * cost + start : 0),
      0,
    );
    const left = this.#parts.reduce((sum, _, i) => sum + this.#costLeft(i), 0);
    return whole === 0 ? 1 : 1 - left / whole;
  }

  #costLeft(i: number): number {
    const { count, cost, start } = this.#parts[i]!;
    const units = Math.max(0, count - this.#done[i]!);
    return units * cost + (units > 0 && !this.#began[i] ? start : 0);
  }

  /** Seconds for a second of cost. A few are taken as if they went at the measured pace, so that the first steps do not decide alone. */
  #pace(): number {
    const assumed = 5;
    return (this.#spent + assumed) / (this.#paid + assumed);
  }
}

/** Seconds as people say them: `40 s`, `3 min`. */
export function span(seconds: number): string {
  if (seconds < 55) return `${Math.max(5, 5 * Math.round(seconds / 5))} s`;
  return `${Math.max(1, Math.round(seconds / 60))} min`;
}
