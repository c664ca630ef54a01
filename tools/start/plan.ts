/** @file What is still to be done of the experiment. */

/** What was found in the folder of a run. */
export interface Found {
  /** What it was asked to do, as `asked` says it; undefined where nothing says so. */
  readonly asked?: string | undefined;
  /** Whether it is done, its result still there. */
  readonly finished: boolean;
  /** Whether anything is there. */
  readonly begun: boolean;
}

/** `start`: nothing is there; `go on`: from the newest state, or from the beginning where there is none; `anew`: what is there was asked for something else; `skip`: done. */
export type Action = 'start' | 'go on' | 'anew' | 'skip';

/** What is done about a run that shall do what `asked` says. */
export function actionFor(asked: string, found: Found): Action {
  if (!found.begun) return 'start';
  if (found.asked !== asked) return 'anew';
  return found.finished ? 'skip' : 'go on';
}

/** All that decides what a run comes to, as one text: its recipe as it stands, what is changed of it, and the base's hash. */
export const askedText = (
  recipe: string,
  set: Readonly<Record<string, string>>,
  base: string,
): string =>
  [
    recipe.trimEnd(),
    ...Object.entries(set).map(([key, value]) => `# with ${key}: ${value}`),
    `# base ${base}`,
    '',
  ].join('\n');
