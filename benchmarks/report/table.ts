/** @file Figures for people. */
import type { Figure, Outcome } from '../jobs/job.ts';

/** Three digits that count. */
export const number = (value: number): string =>
  value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)
    ? value.toExponential(1)
    : value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1))));

/** Columns as wide as they must be; the first to the left, numbers to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const left = (i: number): boolean => i < 2 || i === widths.length - 1;
  return rows
    .map((row) =>
      row
        .map((cell, i) => (left(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const head = ['job', 'figure', 'ours', 'theirs', 'ratio', 'of pairs (95 %)', 'goal'];

export const figuresTable = (
  results: readonly { readonly job: string; readonly outcome: Outcome }[],
): string =>
  table([
    head,
    ...results.flatMap(({ job, outcome }) => outcome.figures.map((figure) => rowOf(job, figure))),
  ]);

function rowOf(job: string, { figure, unit, ours, theirs, ratio, goal }: Figure): string[] {
  const show = (value: number | undefined): string =>
    value === undefined ? '' : `${number(value)}${unit && ` ${unit}`}`;
  const plain = theirs === undefined || ratio || unit === '' ? undefined : theirs / ours;
  return [
    job,
    figure,
    show(ours),
    show(theirs),
    ratio ? `${number(ratio.ofMedians)}x` : plain === undefined ? '' : `${number(plain)}x`,
    ratio ? `${number(ratio.ofPairs)}x (${ratio.interval.map(number).join('-')})` : '',
    goal ? `${goal.text}: ${goal.reached ? 'reached' : 'MISSED'}` : '',
  ];
}
