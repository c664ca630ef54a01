/** @file What the page cannot show of the runs, and why. */
import { listed } from '../page/quantities.ts';
import type { FinishedRun } from './readRun.ts';

/** One sentence for each thing that runs lack. */
export function remarksOn(runs: readonly FinishedRun[]): string[] {
  const those = (is: (run: FinishedRun) => boolean): FinishedRun[] => runs.filter(is);
  const named = (some: readonly FinishedRun[]): string => listed(some.map(({ label }) => label));
  const said: string[] = [];
  const tell = (
    is: (run: FinishedRun) => boolean,
    text: (names: string, one: boolean) => string,
  ): void => {
    const some = those(is);
    if (some.length > 0) said.push(text(named(some), some.length === 1));
  };
  tell(
    ({ summary }) => summary === undefined,
    (names, one) =>
      `${names} ${one ? 'has' : 'have'} no summary.json: what ${one ? 'it' : 'they'} trained and how much memory ${one ? 'it' : 'they'} took is not known.`,
  );
  tell(
    ({ metrics }) => metrics === undefined || metrics.training.length === 0,
    (names) => `There are no training losses of ${names} (metrics.jsonl).`,
  );
  tell(
    ({ metrics }) => metrics !== undefined && metrics.unreadable > 0,
    (names) => `Some lines in metrics.jsonl of ${names} cannot be read; they are left out.`,
  );
  const unvalidated = those(({ metrics }) => (metrics?.validation.length ?? 0) === 0);
  if (unvalidated.length > 0)
    said.push(
      `${unvalidated.length === runs.length ? 'No run' : `${named(unvalidated)}:`} measured ${unvalidated.length === runs.length ? 'a' : 'no'} validation loss (sdft train --validation-images).`,
    );
  tell(
    ({ metrics }) => metrics?.training.some(({ seconds }) => seconds === undefined) ?? false,
    (names) => `${names} did not note the time, and so cannot be shown over minutes.`,
  );
  for (const { label, summary, recipe } of runs)
    if (summary?.steps !== undefined && recipe.steps !== undefined && summary.steps < recipe.steps)
      said.push(`${label} stopped after ${summary.steps} of ${recipe.steps} steps.`);
  return said;
}
