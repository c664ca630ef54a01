/** @file Trains by other programs and by sdft with the same settings, pair by pair, and measures what was learned. How: docs/benchmarks.md. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UserError } from '@sdft/tensor';
import { busyCores, commit, machine } from '../report/machine.ts';
import { lossOf } from './evaluate.ts';
import { classCount, classPrompt, type Method, methods, ourRecipe, type Paths } from './methods.ts';
import { withLearning } from './page.ts';
import type { Task } from './ours.ts';
import { prepare } from './prepare.ts';
import type { MethodResult, Pair, Results } from './results.ts';
import { type Measured, measured, stepsOfBar, stepsOfLines } from './side.ts';

const seeds = [0, 1, 2];
/** Of each side. On a shared machine more wait for each other, and most of what is measured is how they do that. */
const threads = 1;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const log = (text: string): void => console.error(text);

const usage = `node --conditions=@sdft/source benchmarks/learning/run.ts --work DIR --python PATH --diffusers DIR --webui DIR [--method NAME] [--seed N] [--results]

  --work DIR       what was prepared, trained and measured; pairs that are in it are not measured again
  --python PATH    a Python with tools/learning/requirements.txt
  --diffusers DIR  huggingface/diffusers, as tools/learning/requirements.txt says
  --webui DIR      AUTOMATIC1111/stable-diffusion-webui v1.10.1
  --method NAME    ${methods.map(({ name }) => name).join(', ')}; by default all
  --seed N         by default ${seeds.join(', ')}
  --results        evaluates what is there, writes results/learning.json and its part of docs/benchmarks.md`;

/** A pair before its results are evaluated. */
interface TrainedPair {
  readonly busyCores: readonly number[];
  readonly theirs: Measured;
  readonly ours: Measured;
}

interface Folders {
  readonly pair: string;
  readonly theirs: string;
  readonly ours: string;
  readonly measured: string;
}

function foldersOf(work: string, method: Method, seed: number): Folders {
  const pair = join(work, method.name, `seed-${seed}`);
  const inside = (name: string): string => join(pair, name);
  return {
    pair,
    theirs: inside('theirs'),
    ours: inside('ours'),
    measured: inside('measured.json'),
  };
}

async function train(method: Method, seed: number, work: string, paths: Paths, python: string) {
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
      return measured(command, {
        steps: method.settings.steps,
        result: task.result,
        env,
        stepOf: stepsOfLines,
      });
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
    log(
      `${method.name}, seed ${seed}, ${side}: ${of.secondsPerStep.toFixed(3)} s a step, ${of.whole.toFixed(0)} s in all, ${(of.peakAnonymous / 1e9).toFixed(2)} GB`,
    );
  }
  writeFileSync(folders.measured, JSON.stringify({ busyCores: busy, ...found }));
}

async function evaluate(method: Method, work: string, paths: Paths, keptBack: string) {
  const pairs: Pair[] = [];
  for (const seed of seeds) {
    const folders = foldersOf(work, method, seed);
    if (!existsSync(folders.measured)) continue;
    const trained = JSON.parse(readFileSync(folders.measured, 'utf8')) as TrainedPair;
    const { result: theirResult } = method.theirs(paths, seed, folders.theirs);
    const { result: ourResult } = method.ours(paths, folders.ours);
    const loss = (result: string) => lossOf(method, paths.base, keptBack, result);
    pairs.push({
      seed,
      busyCores: trained.busyCores,
      theirs: { validationLoss: await loss(theirResult), ...trained.theirs },
      ours: { validationLoss: await loss(ourResult), ...trained.ours },
    });
    const { theirs, ours } = pairs.at(-1)!;
    log(
      `${method.name}, seed ${seed}: theirs ${theirs.validationLoss}, ours ${ours.validationLoss}`,
    );
  }
  const { name, title, theirProgram, settings, also, template } = method;
  const before = await lossOf(method, paths.base, keptBack);
  log(`${name}: before ${before}`);
  return {
    ...{ method: name, title, theirProgram, settings, also },
    captions: template,
    validationLossBefore: before,
    pairs,
  } satisfies MethodResult;
}

function versionsOf(python: string): Record<string, string> {
  const packages = ['torch', 'diffusers', 'transformers', 'peft', 'accelerate'];
  const script =
    'import json, platform, sys; from importlib.metadata import version; print(json.dumps({"python": platform.python_version(), **{n: version(n) for n in sys.argv[1:]}}))';
  const said = execFileSync(python, ['-c', script, ...packages], { encoding: 'utf8' });
  return { node: process.versions.node, ...(JSON.parse(said) as Record<string, string>) };
}

async function writeResults(work: string, paths: Paths, keptBack: string, python: string) {
  const found: MethodResult[] = [];
  for (const method of methods) found.push(await evaluate(method, work, paths, keptBack));
  const results: Results = {
    job: 'learning',
    about:
      'the same training by other programs and by sdft, measured by sdft on pictures that were kept back',
    date: new Date().toISOString(),
    commit: commit(),
    machine: machine(),
    threads,
    versions: versionsOf(python),
    data: {
      base: 'packages/nano/model in float32',
      pictures: 'packages/nano/outline/train, 25',
      keptBack: 'packages/nano/outline/validation, 10, each at 8 timesteps',
      class: `"${classPrompt}", ${classCount}, drawn by sdft generate`,
    },
    methods: found,
  };
  writeFileSync(here('../results/learning.json'), `${JSON.stringify(results, null, 2)}\n`);
  const page = here('../../docs/benchmarks.md');
  writeFileSync(page, withLearning(readFileSync(page, 'utf8'), results));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      work: { type: 'string' },
      python: { type: 'string' },
      diffusers: { type: 'string' },
      webui: { type: 'string' },
      method: { type: 'string' },
      seed: { type: 'string' },
      results: { type: 'boolean', default: false },
    },
  });
  const { python, diffusers, webui } = values;
  if (!values.work || !python || !diffusers || !webui) throw new UserError(usage);
  const work = resolve(values.work);
  const theirs = { diffusers: resolve(diffusers), webui: resolve(webui) };
  const { paths, keptBack } = prepare(work, theirs);
  if (values.results) return writeResults(work, paths, keptBack, python);
  for (const seed of values.seed === undefined ? seeds : [Number(values.seed)])
    for (const method of methods) {
      if (values.method !== undefined && values.method !== method.name) continue;
      if (existsSync(foldersOf(work, method, seed).measured)) continue;
      await train(method, seed, work, paths, python);
    }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  log(error.message);
  process.exitCode = 2;
}
