/** @file A recipe, trained until a time. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageSet } from '@sdft/data';
import { buildRun, parseRecipe, recipeFromYaml, type Run } from '@sdft/methods';
import type { Backend } from '@sdft/tensor';
import { Clock, now, type Shape } from './clock.ts';

export interface TrainFor {
  /** A recipe file. */
  readonly recipe: string;
  /** The folder that its paths start from. */
  readonly relativeTo: string;
  /** Settings that differ from the file's. */
  readonly changes?: Readonly<Record<string, unknown>>;
  readonly images: ImageSet;
  readonly backend: Backend;
  /** Folder of the run; one that holds a state is gone on with. */
  readonly folder: string;
  /** When it ends, as `now` of clock.ts has it. */
  readonly end: number;
  readonly shape: Shape;
  /** Seconds between two savings. */
  readonly saveEvery: number;
  /** Whether what resuming needs is saved too. */
  readonly states: boolean;
  /** Pictures that the autoencoder encodes at a time. */
  readonly encodeBatch?: number;
  /** Steps between two lines of the log. */
  readonly logEvery?: number;
  /** Hears of each step. */
  readonly onStep?: () => void;
  /** What is written beside the states, each time and at the end. */
  save(run: Run): Promise<void>;
}

/** States of a run that are kept. */
const KEPT_STATES = 2;

/** Trains until the time has come, or a file `stop` lies in the run's folder. */
export async function trainFor(options: TrainFor): Promise<void> {
  const { recipe, relativeTo, folder, images, saveEvery, logEvery = 20 } = options;
  const given = recipeFromYaml(readFileSync(recipe, 'utf8'), recipe) as object;
  await using run = await buildRun(
    parseRecipe({ ...given, data: { ...images.spec }, ...options.changes }, recipe),
    {
      ...{ images, backend: options.backend, logDir: folder, relativeTo },
      resume: existsSync(folder),
      encodeBatch: options.encodeBatch,
    },
  );
  const spentFile = join(folder, 'seconds.txt');
  if (existsSync(folder)) say(`going on after step ${await run.resume()}`);
  const spent = existsSync(spentFile) ? Number(readFileSync(spentFile, 'utf8')) : 0;
  const clock = new Clock(options.end, options.shape, spent);
  say(`${run.plan.parameters} numbers, batch ${run.plan.batch}; ${run.plan.warnings.join('; ')}`);

  const save = async (): Promise<void> => {
    const began = now();
    if (options.states) {
      await run.saveState();
      writeFileSync(spentFile, String(clock.seconds));
      const states = join(folder, 'state');
      const steps = readdirSync(states)
        .map(Number)
        .sort((a, b) => b - a);
      for (const step of steps.slice(KEPT_STATES))
        rmSync(join(states, String(step)), { recursive: true });
    }
    await options.save(run);
    say(`saved after step ${run.step} in ${(now() - began).toFixed(1)} s`);
  };
  let saved = now();
  let [losses, count, since] = [0, 0, now()];
  for await (const { step, loss, lr } of run.steps(undefined, {
    rateFactor: () => clock.factor,
  })) {
    options.onStep?.();
    losses += loss;
    count++;
    if (step === 1 || step % logEvery === 0) {
      const speed = (count / (now() - since)).toFixed(2);
      say(
        `step ${step}: loss ${(losses / count).toFixed(4)}, lr ${lr.toExponential(2)}, ${speed} steps/s`,
      );
      [losses, count, since] = [0, 0, now()];
    }
    if (clock.isOver || existsSync(join(folder, 'stop'))) break;
    if (now() - saved > saveEvery) {
      await save();
      saved = now();
    }
  }
  await save();
}

/** A line of the log. */
export const say = (text: string): void =>
  console.log(`${now().toFixed(0).padStart(5)} s  ${text}`);
