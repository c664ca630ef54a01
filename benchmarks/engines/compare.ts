/** @file What the engines' answers come to: whether results are equal, how times compare, and the table. */
import { median, ratioOf, type Ratio } from '../measure/statistics.ts';
import { number } from '../report/table.ts';
import type { CaseName } from './cases.ts';
import type { Answer, EngineName } from './engine.ts';

/** Products of f32 summed in different orders differ by less; another operation, or an operand that lies otherwise, differs by more. */
export const TOLERANCE = 1e-4;

/** Root of the mean square of the difference over that of `expected`; infinite where there is not the same number of them. */
export function difference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [squares, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    squares += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return squares === 0 ? 0 : Math.sqrt(squares / norm);
}

/** Why a result does not count, or undefined. */
export function refusal(error: number): string | undefined {
  return error <= TOLERANCE
    ? undefined
    : `its result differs from sdft's by ${error.toExponential(1)}, more than ${TOLERANCE}`;
}

/** An answer out of a line. Throws, with the line, for anything else. */
export function answerIn(line: string): Answer {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    throw new Error(`not an answer: ${line.slice(0, 200)}`);
  }
  const { adapter, seconds, failed } = (parsed ?? {}) as Record<string, unknown>;
  if (typeof adapter === 'string') return { adapter };
  if (typeof seconds === 'number' && seconds > 0) return { seconds };
  if (typeof failed === 'string') return { failed };
  throw new Error(`not an answer: ${line.slice(0, 200)}`);
}

export interface Timed {
  /** Of one run, by round. */
  readonly seconds: readonly number[];
  readonly median: number;
  /** Runs in a round. */
  readonly runs: number;
  /** Of its result, from sdft's. */
  readonly error: number;
  readonly gflops?: number;
  /** Its time over sdft's, round by round. */
  readonly ratio?: Ratio;
}
export type Side = Timed | { readonly failed: string };
export interface CaseResult {
  readonly case: CaseName;
  readonly what: string;
  readonly sides: Partial<Record<EngineName, Side>>;
}

export function timedSide(
  { seconds, runs, error }: Pick<Timed, 'seconds' | 'runs' | 'error'>,
  flops: number | undefined,
  ours?: readonly number[],
): Timed {
  const middle = median(seconds);
  return {
    ...{ seconds, median: middle, runs, error },
    ...(flops === undefined ? {} : { gflops: flops / middle / 1e9 }),
    ...(ours ? { ratio: ratioOf(ours, seconds) } : {}),
  };
}

/** What was measured earlier, with cases that were measured again in their old places. */
export const merged = (
  earlier: readonly CaseResult[],
  later: readonly CaseResult[],
): CaseResult[] => [
  ...earlier.map((one) => later.find((other) => other.case === one.case) ?? one),
  ...later.filter((one) => !earlier.some((other) => other.case === one.case)),
];

const cell = (side: Side | undefined): string => {
  if (!side) return '';
  if ('failed' in side) return 'failed';
  const { ratio } = side;
  const times = `${number(side.median * 1000)} ms`;
  if (!ratio) return times;
  return `${times}; ${number(ratio.ofPairs)} (${ratio.interval.map(number).join(' to ')})`;
};

/** In Markdown: milliseconds of each engine; for the others their time over sdft's with its 95 % interval. What failed is told below. */
export function markdown(cases: readonly CaseResult[], engines: readonly EngineName[]): string {
  const rows = [
    ['', ...engines],
    ['---', ...engines.map(() => '---')],
    ...cases.map(({ case: name, what, sides }) => [
      `${name}: ${what}`,
      ...engines.map((engine) => cell(sides[engine])),
    ]),
  ];
  const failures = cases.flatMap(({ case: name, sides }) =>
    engines.flatMap((engine) => {
      const side = sides[engine];
      return side && 'failed' in side
        ? [`- ${engine}, ${name}: ${side.failed.split('\n', 1)[0]}`]
        : [];
    }),
  );
  return [...rows.map((row) => `| ${row.join(' | ')} |`), ...failures].join('\n');
}
