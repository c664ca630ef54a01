import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { buildRun, metricLines, type Recipe, type Report, type Run } from '@sdft/methods';
import { UserError } from '@sdft/tensor';
import type { RunOptions } from '../commands/train.ts';
import { Interrupted } from '../failures/status.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { backendNamed } from '../options/backend.ts';
import { finishFirst } from '../program/interruption.ts';
import { Output } from '../terminal/output.ts';
import { bytes } from '../terminal/quantities.ts';
import { refuseNonFinite } from '../weights/refuseNonFinite.ts';
import { described } from './described.ts';
import type { GivenRecipe } from './recipeFromFile.ts';
import { inFlags } from './recipeFlags.ts';
import { resumeCommand } from './resumeCommand.ts';
import { runFolder } from './runFolder.ts';

/**
 * Trains as a recipe says, and writes the result.
 * @throws UserError, and Interrupted where Ctrl-C ended it after its state was saved
 */
export async function train(given: GivenRecipe, options: RunOptions): Promise<void> {
  const output = new Output(options.json ?? false);
  const force = options.force ?? false;
  const stop = new AbortController();
  const release = finishFirst(() => {
    stop.abort();
    output.note('Ctrl-C: finishing this step, then saving. Press it again to stop at once.');
  });
  try {
    const out = outOf(given);
    const folder = runFolder(out ?? String(given.recipe['method'] ?? 'run'), options);
    await using run = await built(given, options, folder);
    output.note(described(run, folder));
    if (options.backend === 'null') {
      output.record({ parameters: run.plan.parameters, memory: run.plan.memory });
      return;
    }
    const target = out ?? join(folder, 'output', `${run.recipe.method ?? 'result'}.safetensors`);
    checkTarget('--out', target, force);
    if (options.record !== undefined) checkTarget('--record', options.record, force);
    refuseNonFinite(run.base.name, run.base.weights);
    if (options.resume !== undefined) await resumed(run, options.resume, output);
    await loop(run, stop.signal, output, given.typed);
    for (const file of await run.save(target, { force }))
      output.print(`${file}: what was learned in ${run.step} steps`);
    output.print(`${folder}: recipe, metrics, and what else the run wrote`);
  } finally {
    output.end();
    release();
  }
}

/** The run, nothing computed yet. */
async function built(
  { recipe, relativeTo, where, flags = [] }: GivenRecipe,
  { backend, record, replay, resume, force }: RunOptions,
  logDir: string,
): Promise<Run> {
  try {
    // What it holds is checked there.
    return await buildRun(recipe as Recipe, {
      backend: await backendNamed(backend),
      logDir,
      relativeTo,
      ...(record !== undefined && { record }),
      ...(replay !== undefined && { replay: resolve(replay) }),
      ...(resume !== undefined && { resume: true }),
      ...(force !== undefined && { force }),
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const prefix = where === undefined ? '' : `${where}: `;
    throw new UserError(prefix + inFlags(error.message, flags), { cause: error });
  }
}

/** Where the result goes, seen from the working directory. */
function outOf({ recipe, relativeTo }: GivenRecipe): string | undefined {
  const out = (recipe as Partial<Recipe>).save?.out;
  return typeof out !== 'string' || isAbsolute(out) ? out : join(relativeTo, out);
}

async function resumed(run: Run, folder: string, output: Output): Promise<void> {
  const step = existsSync(folder) ? await run.resume(folder) : 0;
  output.note(
    step === 0
      ? `${folder}: there is no state yet, so the run begins at the beginning`
      : `${folder}: going on after step ${step}`,
  );
}

/** Takes the steps that are left. Throws Interrupted where `signal` ends them early. */
async function loop(
  run: Run,
  signal: AbortSignal,
  output: Output,
  typed: readonly string[],
): Promise<void> {
  const total = stepsOf(run);
  if (!signal.aborted && run.step < total) {
    const line = output.progress({ title: 'training', total, done: run.step });
    for await (const report of run.steps(total - run.step, { signal })) {
      for (const metrics of metricLines(report)) output.record(metrics);
      line.step(detailsOf(report));
      for (const path of report.written) output.note(`wrote ${path}`);
    }
    output.end();
  }
  if (run.step >= total) return;
  if (run.step === 0)
    throw new Interrupted('interrupted before the first step; there is nothing to save');
  const state = await run.saveState();
  throw new Interrupted(
    `interrupted after step ${run.step} of ${total}; saved ${state}\nGo on with:\n  ${resumeCommand(typed, run.folder!)}`,
  );
}

function stepsOf({ recipe, plan }: Run): number {
  const counts = [recipe.steps, plan.most].filter((count) => count !== undefined);
  if (counts.length > 0) return Math.min(...counts);
  throw new UserError('how many steps? Say --steps 1000 (in a recipe: steps: 1000)');
}

const detailsOf = ({ loss, lr }: Report): string[] => [
  `loss ${loss.toPrecision(4)}`,
  `lr ${lr.toExponential(1)}`,
  bytes(process.memoryUsage.rss()),
];
