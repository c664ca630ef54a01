import { existsSync } from 'node:fs';
import { extname, isAbsolute, join, resolve } from 'node:path';
import { buildRun, metricLines, type Recipe, type Report, type Run } from '@sdft/methods';
import { fromHere } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import type { RunOptions } from '../commands/train.ts';
import { Interrupted } from '../failures/status.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { backendNamed } from '../options/backend.ts';
import { finishFirst } from '../program/interruption.ts';
import { Output } from '../terminal/output.ts';
import { bytes, counted } from '../terminal/quantities.ts';
import { refuseNonFinite } from '../weights/refuseNonFinite.ts';
import { draw, drawingFor } from './classImages.ts';
import { described } from './described.ts';
import type { GivenRecipe } from './recipeFromFile.ts';
import { inFlags } from './recipeFlags.ts';
import { resumeCommand } from './resumeCommand.ts';
import { resumable, resume } from './resuming.ts';
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
    if (out !== undefined && options.backend !== 'null')
      checkTarget('--out', out, force, extname(out) === '' ? 'folder' : 'file');
    if (options.record !== undefined) checkTarget('--record', options.record, force);
    const folder = runFolder(out ?? String(given.recipe['method'] ?? 'run'), options);
    if (options.backend !== 'null') checkTarget('--log-dir', folder, true, 'folder');
    const drawing = await worded(given, () =>
      drawingFor({ ...given, recipe: resumable(given.recipe, options) }, options),
    );
    if (drawing && options.backend !== 'null') {
      // Every other mistake is found before hours of drawing.
      await rehearse(drawing.given, options, folder);
      const backend = await backendNamed(options.backend, options.precision);
      await draw(drawing, output, { backend, signal: stop.signal });
    }
    await using run = await built(drawing?.given ?? given, options, folder);
    output.note(described(run, folder));
    if (options.backend === 'null') {
      output.record({ parameters: run.plan.parameters, memory: run.plan.memory });
      output.note('--backend null: planned, nothing computed');
      return;
    }
    const target = out ?? join(folder, 'output', `${run.recipe.method ?? 'result'}.safetensors`);
    refuseNonFinite(run.base.name, run.base.weights);
    if (options.resume !== undefined) await resume(run, options.resume, output);
    await keepingState(run, output, () => stepping(run, stop.signal, output));
    if (run.step < stepsOf(run)) throw await interrupted(run, options);
    for (const file of await keepingState(run, output, () => run.save(target, { force })))
      output.print(`${fromHere(file)}: what was learned in ${counted(run.step, 'step')}`);
    if (existsSync(folder)) output.print(`${folder}: recipe, metrics, and what else the run wrote`);
  } finally {
    output.end();
    release();
  }
}

/** Checks everything about a run but the class pictures that are missing. */
async function rehearse(
  given: GivenRecipe,
  { record: _, ...options }: RunOptions,
  folder: string,
): Promise<void> {
  await using run = await built(given, options, folder, true);
  refuseNonFinite(run.base.name, run.base.weights);
}

/** The run, nothing computed yet. */
function built(
  given: GivenRecipe,
  options: RunOptions,
  logDir: string,
  rehearse = options.backend === 'null',
): Promise<Run> {
  const { recipe, relativeTo } = given;
  const { backend, precision, record, replay, force } = options;
  return worded(given, async () =>
    // What it holds is checked there.
    buildRun(resumable(recipe, options) as Recipe, {
      backend: await backendNamed(backend, precision),
      logDir,
      relativeTo,
      rehearse,
      ...(record !== undefined && { record }),
      ...(replay !== undefined && { replay: resolve(replay) }),
      ...(options.resume !== undefined && { resume: true }),
      ...(force !== undefined && { force }),
    }),
  );
}

/** Does something with a recipe; what is wrong with that is said in the words in which it was given. */
async function worded<T>({ where, flags = [] }: GivenRecipe, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
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

/** Takes the steps that are left, until `signal` ends them. */
async function stepping(run: Run, signal: AbortSignal, output: Output): Promise<void> {
  const total = stepsOf(run);
  if (signal.aborted || run.step >= total) return;
  const line = output.progress({ title: 'training', total, done: run.step });
  try {
    for await (const report of run.steps(total - run.step, { signal })) {
      for (const metrics of metricLines(report)) output.record(metrics);
      line.step({ details: detailsOf(report), seconds: report.seconds });
      const { step, validationLossBefore, validationLoss } = report;
      if (validationLossBefore !== undefined)
        output.note(validationText(step - 1, validationLossBefore));
      if (validationLoss !== undefined) output.note(validationText(step, validationLoss));
      for (const warning of report.warnings) output.note(`warning: ${warning}`);
      if (report.written.length > 0)
        output.note(`step ${report.step}: wrote ${report.written.join(', ')}`);
    }
  } finally {
    output.end();
  }
}

/** Does `work`. Where it fails for want of room, say, what was learned so far is saved. */
async function keepingState<T>(run: Run, output: Output, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'UserError' || run.step === 0) throw error;
    const state = await run.saveState().catch(() => undefined);
    if (state !== undefined) output.note(`the state after step ${run.step} is saved: ${state}`);
    throw error;
  }
}

/** Saves the state of a run that Ctrl-C ended early, and says how to go on. */
async function interrupted(run: Run, options: RunOptions): Promise<Interrupted> {
  if (run.step === 0)
    return new Interrupted('interrupted before the first step; there is nothing to save');
  const state = await run.saveState();
  return new Interrupted(
    `interrupted after step ${run.step} of ${stepsOf(run)}; saved ${state}\nGo on with:\n  ${resumeCommand(run.folder!, options)}`,
  );
}

function stepsOf({ recipe, plan }: Run): number {
  const counts = [recipe.steps, plan.most].filter((count) => count !== undefined);
  if (counts.length > 0) return Math.min(...counts);
  throw new UserError('how many steps? Say --steps 1000 (in a recipe: steps: 1000)');
}

const validationText = (step: number, loss: number): string =>
  `step ${step}: validation loss ${loss.toPrecision(4)}`;

const detailsOf = ({ loss, lr }: Report): string[] => [
  `loss ${loss.toPrecision(4)}`,
  `lr ${lr.toExponential(1)}`,
  bytes(process.memoryUsage.rss()),
];
