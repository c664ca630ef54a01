/** @file The pairs of a working folder: both sides of one are trained in turn; one that is there, and is what is asked for, is kept. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { busyCores } from '../report/machine.ts';
import { askedOf, type Common } from './asked.ts';
import { type Method, ourRecipe, type Paths } from './methods.ts';
import type { Task } from './ours.ts';
import { type Measured, measured, stepsOfBar, stepsOfLines } from './side.ts';

/** A pair before its results are evaluated. */
export interface TrainedPair {
  /** By `askedOf`. */
  readonly asked: string;
  readonly busyCores: readonly number[];
  readonly theirs: Measured;
  readonly ours: Measured;
}

/** Where a measurement goes on, and what with. */
export interface Place extends Common {
  readonly work: string;
  readonly paths: Paths;
  readonly python: string;
  /** Hears what happens, for people. */
  note(text: string): void;
}

export interface Folders {
  readonly pair: string;
  readonly theirs: string;
  readonly ours: string;
  readonly measured: string;
}

export function foldersOf(work: string, method: Method, seed: number): Folders {
  const pair = join(work, method.name, `seed-${seed}`);
  const inside = (name: string): string => join(pair, name);
  return {
    pair,
    theirs: inside('theirs'),
    ours: inside('ours'),
    measured: inside('measured.json'),
  };
}

/** A pair that is there. Undefined where there is none, or where it was asked for something else; the latter is told of. */
export function pairIn(place: Place, method: Method, seed: number): TrainedPair | undefined {
  const file = foldersOf(place.work, method, seed).measured;
  if (!existsSync(file)) return undefined;
  const pair = JSON.parse(readFileSync(file, 'utf8')) as TrainedPair;
  if (pair.asked === askedOf(method, seed, place)) return pair;
  place.note(
    `${method.name}, seed ${seed}: measured with other settings, threads or inputs; not counted`,
  );
  return undefined;
}

/** Trains both sides of a pair, and keeps what was measured. What lies there of an earlier one goes. */
export async function trainPair(place: Place, method: Method, seed: number): Promise<void> {
  const { work, paths, python, threads, note } = place;
  const folders = foldersOf(work, method, seed);
  rmSync(folders.pair, { recursive: true, force: true });
  for (const folder of [folders.theirs, folders.ours]) mkdirSync(folder, { recursive: true });
  const env = {
    ...process.env,
    OMP_NUM_THREADS: `${threads}`,
    MKL_NUM_THREADS: `${threads}`,
    HF_HUB_OFFLINE: '1',
    HF_HOME: join(work, 'huggingface'),
    CUDA_VISIBLE_DEVICES: '',
  };
  const { steps } = method.settings;
  const sides = {
    theirs: () => {
      const { args, result } = method.theirs(paths, seed, folders.theirs);
      const stepOf = (text: string) => stepsOfBar(text, steps);
      return measured([python, ...args], { steps, result, env, stepOf });
    },
    ours: () => {
      const task: Task = { ...ourRecipe(method, paths, seed, folders.ours), threads };
      const program = ['--conditions=@sdft/source', here('ours.ts')];
      const command = [process.execPath, ...program, JSON.stringify(task)] as const;
      return measured(command, { steps, result: task.result, env, stepOf: stepsOfLines });
    },
  };
  const found: Partial<Record<keyof typeof sides, Measured>> = {};
  const busy = [await busyCores()];
  // Each side goes first in turn.
  for (const side of seed % 2 === 0
    ? (['theirs', 'ours'] as const)
    : (['ours', 'theirs'] as const)) {
    const of = (found[side] = await sides[side]());
    busy.push(await busyCores());
    note(
      `${method.name}, seed ${seed}, ${side}: ${of.secondsPerStep.toFixed(3)} s a step, ${of.whole.toFixed(0)} s in all, ${(of.peakAnonymous / 1e9).toFixed(2)} GB`,
    );
  }
  const asked = askedOf(method, seed, place);
  const { theirs, ours } = found as Required<typeof found>;
  const pair: TrainedPair = { asked, busyCores: busy, theirs, ours };
  writeFileSync(folders.measured, JSON.stringify(pair));
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
