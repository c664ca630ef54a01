/** @file From the folders of runs to the page. */
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Recipe, recipeYaml } from '@sdft/methods';
import * as nano from '@sdft/nano';
import { bytesOnDisk, fromHere } from '@sdft/pipeline';
import { page } from '../page/page.ts';
import type { Column, Embedded, Figures, Report } from '../page/report.ts';
import { listed } from '../page/quantities.ts';
import {
  type Comparison,
  type ComparisonOptions,
  type OpenedColumn,
  openComparison,
} from './comparison.ts';
import { embedAll } from './embed.ts';
import { heldOutLoss, openHeldOut } from './heldOut.ts';
import type { Scores } from '../scores/scores.ts';
import { remarksOn } from './remarks.ts';
import { scoreColumns, whyNoScores } from './scores.ts';
import { drawShots, SAMPLER, undrawn } from './shots.ts';
import { type TrainingSet, trainingPictures } from './trainingPictures.ts';

/** Shows how far the work is. */
export interface Progress {
  step(advance: { readonly steps: number }): void;
}

export interface CompareOptions extends ComparisonOptions {
  readonly title?: string | undefined;
  /** Folder of pictures like those that the base came from. Default: those that come along with `nano`, for that base. */
  readonly heldOut?: string | undefined;
  /** The artist that the style score asks for. Default: whose hand the classifier sees in the training pictures. */
  readonly style?: string | undefined;
  /** What made the page, as it was typed. */
  readonly command: string;
  /** Of sdft. */
  readonly version: string;
  readonly signal?: AbortSignal | undefined;
  /** What happens, for people. */
  note(text: string): void;
  progress(work: {
    readonly title: string;
    readonly total: number;
    readonly unit?: string;
  }): Progress;
}

/**
 * Draws and measures what is not there yet, and makes the page of it.
 *
 * @returns the page, an HTML document
 * @throws UserError where runs, prompts and settings do not go together; `signal`'s reason where it ends the work
 */
export async function compareRuns(options: CompareOptions): Promise<string> {
  const given = options.heldOut === undefined ? undefined : await openHeldOut(options.heldOut);
  const comparison = await openComparison(options);
  const { columns, base, look, warnings, changed } = comparison;
  const unscored = await whyNoScores(base.name, look, options.style);
  const old =
    changed.length === 0 ? [] : [`The base has changed since ${listed(changed)} started from it.`];
  for (const warning of [...warnings, ...old]) options.note(`warning: ${warning}`);
  await drawAll(comparison, options);
  const own = base.name === 'nano' ? fileURLToPath(nano.heldOut) : undefined;
  const heldOut = given ?? (own === undefined ? undefined : await openHeldOut(own));
  const losses = heldOut && (await heldOutLosses(comparison, heldOut, options));
  const training = await trainingPictures(columns.flatMap(({ run }) => run ?? []));
  const drawn = columns.map(({ shots }) => shots);
  const scored =
    unscored === undefined
      ? await scoreColumns(options.prompts, drawn, training.paths, options)
      : undefined;
  const figures = await Promise.all(
    columns.map((column, i) => figuresOf(column, losses?.[i], scored?.scores[i])),
  );
  const missing = [
    ...old,
    ...remarksOn(columns.flatMap(({ run }) => run ?? [])),
    ...(unscored === undefined ? [] : [unscored]),
    ...(heldOut
      ? []
      : [
          'Forgetting was not measured: there are no pictures like those that the base came from (--held-out).',
        ]),
    ...training.missing,
  ];
  return written(comparison, { figures, training, missing, classifier: scored?.about }, options);
}

async function drawAll(
  { columns, look, parts }: Comparison,
  options: CompareOptions,
): Promise<void> {
  const { backend, signal, note, progress } = options;
  const all = columns.flatMap(({ shots }) => shots.flat()).length;
  const wanted = columns.flatMap(({ shots }) => undrawn(shots)).length;
  if (wanted < all)
    note(`${all - wanted} of ${all} pictures are there already, in ${fromHere(parts.folder)}`);
  if (wanted === 0) return;
  const line = progress({ title: 'drawing', total: wanted * look.steps });
  for (const { drawer, shots } of columns)
    await drawShots(drawer, shots, look, {
      backend,
      signal,
      onSteps: (steps) => line.step({ steps }),
    });
}

/** Of each column, the base first. */
async function heldOutLosses(
  { columns, parts }: Comparison,
  heldOut: Awaited<ReturnType<typeof openHeldOut>>,
  { backend, signal, progress }: CompareOptions,
): Promise<number[]> {
  const line = progress({ title: 'forgetting', total: columns.length, unit: 'column' });
  const losses: number[] = [];
  for (const { drawer, what } of columns) {
    signal?.throwIfAborted();
    losses.push(await heldOutLoss(drawer, heldOut, parts, what, backend));
    line.step({ steps: 1 });
  }
  return losses;
}

async function figuresOf(
  { run }: OpenedColumn,
  heldOut: number | undefined,
  scores: Scores | undefined,
): Promise<Figures> {
  const { validation = [], training = [] } = run?.metrics ?? {};
  const bytes = await Promise.all((run?.files ?? []).map(bytesOnDisk));
  return {
    style: scores?.style,
    concept: scores?.concept,
    diversity: scores?.diversity,
    heldOutLoss: heldOut,
    validationLoss: validation[validation.length - 1]?.loss,
    parameters: run?.summary?.parameters,
    bytes: run && bytes.reduce((sum, one) => sum + one, 0),
    seconds: run?.summary?.seconds ?? training[training.length - 1]?.seconds,
    memory: run?.summary?.memory,
  };
}

/** What was found out about the columns. */
interface Found {
  readonly figures: readonly Figures[];
  readonly training: TrainingSet;
  readonly missing: readonly string[];
  readonly classifier: string | undefined;
}

/** The page, below 5 MB. */
async function written(
  comparison: Comparison,
  { figures, training, missing, classifier }: Found,
  options: CompareOptions,
): Promise<string> {
  const { columns, base } = comparison;
  const report = (pictures: readonly Embedded[]): Report => {
    let next = 0;
    const { look, baseName } = comparison;
    const { seeds, ...drawing } = look;
    return {
      title: options.title ?? 'Which method is best for these pictures?',
      base: baseName,
      prompts: options.prompts,
      ...{ seeds, drawing: { ...drawing, sampler: SAMPLER } },
      columns: columns.map(
        ({ label, run, word, shots }, i): Column => ({
          ...{ label, word, method: run && methodOf(run.recipe), figures: figures[i]! },
          shots: shots.map((row) =>
            row.map(({ path: _, ...shot }) => ({ ...shot, picture: pictures[next++] ?? nothing })),
          ),
          curves: run?.metrics,
          recipe: run && recipeYaml(withShortPaths(run.recipe)),
        }),
      ),
      training: training.pictures,
      ...{ classifier, missing },
      credits: base.name === 'nano' ? nano.attributions : [],
      command: options.command,
      version: options.version,
      date: new Date().toISOString().slice(0, 10),
    };
  };
  const bare = Buffer.byteLength(await page(report([])));
  const paths = columns.flatMap(({ shots }) => shots.flat().map(({ path }) => path));
  return page(report(await embedAll(paths, bare)));
}

const nothing: Embedded = { url: '', width: 0, height: 0 };

/** The method of a recipe, or its adapters' names. */
const methodOf = ({ method, adapters = [] }: Recipe): string =>
  method ?? adapters.map(({ name }) => name).join(', ');

/** A recipe whose paths are said as from the working directory, where they lie below it. */
function withShortPaths(recipe: Recipe): Recipe {
  const shortened = (value: unknown): unknown => {
    if (typeof value === 'string') return isAbsolute(value) ? fromHere(value) : value;
    if (Array.isArray(value)) return value.map(shortened);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shortened(inner)]));
  };
  return shortened(recipe) as Recipe;
}
