import { internal } from './errors.ts';
import type { Draws } from './draws.ts';

/**
 * An endless sequence of positions 0 .. length - 1: one shuffled epoch after the other, without a gap. Which position comes at
 * place n is a pure function of (seed, n), so that any place can be asked for first.
 */
export interface Order {
  /** The position at place `n` = 0, 1, 2, ... */
  at(n: number): number;
}

/** Shuffles each epoch by Fisher and Yates (Knuth, TAOCP 2, algorithm 3.4.2 P) with the draw `order` at step = epoch. */
export function shuffledEpochs(length: number, draws: Draws): Order {
  // A batch lies in two neighbouring epochs at most unless it is longer than an epoch; two are kept.
  const kept = new Map<number, Uint32Array>();
  const epochOrder = (epoch: number): Uint32Array => {
    const known = kept.get(epoch);
    if (known !== undefined) return known;
    const made = shuffle(length, draws.uniform('order', length, epoch));
    for (const old of kept.keys()) if (kept.size > 1) kept.delete(old);
    kept.set(epoch, made);
    return made;
  };
  return { at: (n) => epochOrder(Math.floor(n / length))[n % length]! };
}

function shuffle(length: number, uniform: ArrayLike<number>): Uint32Array {
  if (uniform.length < length) {
    throw internal(`the draw 'order' gave ${uniform.length} numbers of ${length}`);
  }
  const order = Uint32Array.from({ length }, (_, index) => index);
  for (let last = length - 1; last > 0; last--) {
    const other = Math.floor(uniform[last]! * (last + 1));
    const moved = order[last]!;
    order[last] = order[other]!;
    order[other] = moved;
  }
  return order;
}
