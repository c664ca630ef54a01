/** @file A finished run, from its folder. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, parse, resolve } from 'node:path';
import { parseRecipe, type Recipe } from '@sdft/methods';
import { explainFileError } from '@sdft/models/node';
import { UserError } from '@sdft/tensor';
import { type Metrics, parseMetrics } from '../runs/metrics.ts';
import { parseSummary, type RunSummary } from '../runs/summary.ts';

/** A run's folder, and what the page calls it. */
export interface GivenRun {
  readonly label: string;
  readonly folder: string;
}

export interface FinishedRun extends GivenRun {
  readonly recipe: Recipe;
  /** Undefined where the run noted none. */
  readonly metrics: Metrics | undefined;
  /** Undefined in runs of older versions. */
  readonly summary: RunSummary | undefined;
  /** What was learned: files, or the folder of a whole model. */
  readonly files: readonly string[];
}

/**
 * Reads the folder of a run.
 *
 * @throws UserError where it is none, its recipe cannot be read, or its result is not there
 */
export async function readRun(given: GivenRun): Promise<FinishedRun> {
  const { folder } = given;
  if (!existsSync(folder))
    throw new UserError(`${folder}: there is no such folder; name the folder of a run`);
  const path = join(folder, 'recipe.yaml');
  if (!existsSync(path))
    throw new UserError(
      `${folder}: holds no recipe.yaml and is no run; name the folder that sdft train wrote (runs/NAME, or --log-dir)`,
    );
  const recipe = parseRecipe(await textOf(path), path);
  const metricsText = await textOf(join(folder, 'metrics.jsonl'), '');
  const summaryText = await textOf(join(folder, 'summary.json'), '');
  const summary = summaryText === '' ? undefined : parseSummary(summaryText);
  return {
    ...given,
    recipe,
    metrics: metricsText === '' ? undefined : parseMetrics(metricsText),
    summary,
    files: await resultOf(folder, recipe, summary),
  };
}

/** Throws UserError where a file cannot be read; one that is not there is `otherwise`. */
async function textOf(path: string, otherwise?: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (otherwise !== undefined && (error as NodeJS.ErrnoException).code === 'ENOENT')
      return otherwise;
    throw explainFileError(path, error);
  }
}

/** What the run learned. Throws UserError where it is not there. */
async function resultOf(
  folder: string,
  recipe: Recipe,
  summary: RunSummary | undefined,
): Promise<string[]> {
  if (summary && summary.files.length > 0)
    return summary.files.map((file) => {
      const path = resolve(folder, file);
      if (existsSync(path)) return path;
      // The folder may have been carried to another place.
      const beside = join(folder, 'output', basename(file));
      if (existsSync(beside)) return beside;
      throw new UserError(
        `${folder}: what it learned, ${path}, is gone; put it back, or into ${join(folder, 'output')}`,
      );
    });
  const out =
    recipe.save?.out ?? join(folder, 'output', `${recipe.method ?? 'result'}.safetensors`);
  const found = await resultsAt(resolve(folder, out));
  if (found.length > 0) return found;
  throw new UserError(
    `${folder}: is unfinished: there is no ${out}; finish it with sdft train --resume ${folder}`,
  );
}

/** A result, or those of several adapters, `STEM.ADAPTER.ENDING`. */
async function resultsAt(path: string): Promise<string[]> {
  if (existsSync(path)) return [path];
  const { name, ext } = parse(path);
  const names = await readdir(dirname(path)).catch(() => []);
  return names
    .filter(
      (one) =>
        one.startsWith(`${name}.`) &&
        one.endsWith(ext) &&
        one.length > name.length + ext.length + 1,
    )
    .sort()
    .map((one) => join(dirname(path), one));
}
