/** @file A run that ends at a time, and not after a number of steps. */

/** Parts of the time in which learning rates rise, and in which they fall. */
export interface Shape {
  readonly rise: number;
  readonly fall: number;
}

/** Seconds since the process began. */
export const now = (): number => performance.now() / 1000;

/** Learning rates by the clock: a rise, a constant part, and half a cosine down to nothing. It starts when it is first asked for a rate. */
export class Clock {
  readonly #end: number;
  readonly #shape: Shape;
  readonly #spent: number;
  #began: number | undefined;

  /**
   * @param end the time, as `now` has it
   * @param spent seconds that an earlier part of the run took
   */
  constructor(end: number, shape: Shape, spent = 0) {
    this.#end = end;
    this.#shape = shape;
    this.#spent = spent;
  }

  /** Seconds of the whole run, earlier parts included. */
  get seconds(): number {
    return this.#spent + (this.#began === undefined ? 0 : now() - this.#began);
  }

  get isOver(): boolean {
    return now() >= this.#end;
  }

  /** What learning rates are multiplied with now. */
  get factor(): number {
    this.#began ??= now();
    const { rise, fall } = this.#shape;
    const done = Math.min(1, this.seconds / (this.#spent + this.#end - this.#began));
    if (done < rise) return Math.max(1e-3, done / rise);
    return done <= 1 - fall ? 1 : 0.5 * (1 + Math.cos((Math.PI * (done - 1 + fall)) / fall));
  }
}
