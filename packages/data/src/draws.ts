/**
 * The random numbers that order, flips and templates are made of. Each is a pure function of (seed, name, step): the
 * implementation holds the seed, so the same draw comes out again whenever, wherever and in whatever order it is asked for.
 */
export interface Draws {
  /** `count` numbers, uniform in [0, 1), for the draw `name` at `step`. */
  uniform(name: string, count: number, step: number): ArrayLike<number>;
  /** `count` integers, uniform in 0 .. `below` - 1, for the draw `name` at `step`. */
  integers(name: string, count: number, below: number, step: number): ArrayLike<number>;
}
