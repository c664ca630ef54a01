import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Which part of each long test runs, 0..1. */
    readonly share: number;
  }
  interface TaskMeta {
    seed?: number;
    result?: string;
  }
}

/**
 * How many repetitions of a long test this run makes: all of them, or in a sample a small part.
 * @param full of `npm run test:long`
 * @param least of a sample
 */
export const repetitions = (full: number, least = 1): number =>
  Math.min(full, Math.max(least, Math.ceil(full * inject('share'))));

/**
 * Notes what a long test found; `npm run test:long -- --record` copies it to docs/long-tests.md.
 * @param task the test's own, from its context: `test('...', ({ task }) => ...)`
 * @param seed of everything that the test drew
 * @param result one line, with figures
 */
export function found(
  task: { meta: { seed?: number; result?: string } },
  seed: number,
  result: string,
): void {
  task.meta.seed = seed;
  task.meta.result = result;
}
