/** @file npm run bench [-- JOB... --pairs N ...]: measures, prints a table, writes results/JOB.json. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UserError } from '@sdft/tensor';
import { ours, theirs } from './contestants/contestant.ts';
import { lackOf } from './contestants/python.ts';
import { jobs } from './jobs/all.ts';
import type { Bench, Job, Outcome } from './jobs/job.ts';
import { busyCores, commit, machine } from './report/machine.ts';
import { figuresTable, number, table } from './report/table.ts';
import { modelNamed } from './workload/models.ts';

const usage = `npm run bench -- [JOB...] [--pairs N] [--threads N] [--python PATH] [--model NAME] [--out DIR] [--json]

${table(jobs.map(({ name, about }) => [`  ${name}`, about, '']))}

Without a JOB all run, one after the other.
  --pairs N      timed steps of each side (ti-*: 10), fresh processes of each (memory: 3, first-step: 10), timed steps at each size (batches: 5)
  --threads N    of both sides; by default the machine's physical cores
  --python PATH  a Python with torch, diffusers, transformers and safetensors; by default python3, and without those only ours is measured
  --model NAME   sd15, 34m, 34m-clip or tiny in place of each job's own; results are written as JOB-NAME.json
  --out DIR      where results are written; by default benchmarks/results
  --json         one JSON object a job on stdout; progress and table go to stderr

For example: npm run bench -- ti-34m --pairs 4`;

interface Settings {
  readonly bench: Bench;
  readonly chosen: readonly Job[];
  readonly out: string;
  readonly json: boolean;
}

const log = (text: string): void => console.error(text);

/** Throws UserError where an argument is wrong. Undefined: help was asked for. */
function settingsOf(args: string[]): Settings | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  const chosen = jobs.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const unknown = positionals.find((name) => !jobs.some((job) => job.name === name));
  if (unknown !== undefined)
    throw new UserError(
      `there is no job ${unknown}; there are ${jobs.map(({ name }) => name).join(', ')}`,
    );
  const count = (flag: 'pairs' | 'threads', otherwise: number | undefined): number | undefined => {
    const text = values[flag];
    if (text !== undefined && !/^[1-9]\d{0,5}$/.test(text))
      throw new UserError(`--${flag} ${text}: give a whole number from 1`);
    return text === undefined ? otherwise : Number(text);
  };
  const python = values.python ?? 'python3';
  const lack = lackOf(python);
  if (lack !== undefined && values.python !== undefined) throw new UserError(`--python: ${lack}`);
  if (lack !== undefined)
    log(`Only ours is measured: ${lack}. --python PATH names another Python to compare with.`);
  const pairs = count('pairs', undefined);
  return {
    bench: {
      sides: lack === undefined ? [ours, theirs(python)] : [ours],
      threads: count('threads', machine().physicalCores)!,
      ...(pairs !== undefined && { pairs }),
      ...(values.model !== undefined && { model: modelNamed(values.model) }),
      log,
    },
    chosen,
    out: values.out ?? fileURLToPath(new URL('results', import.meta.url)),
    json: values.json,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        pairs: { type: 'string' },
        threads: { type: 'string' },
        python: { type: 'string' },
        model: { type: 'string' },
        out: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${usage}`);
  }
}

/** Runs a job and writes its result. */
async function measure(job: Job, { bench, out, json }: Settings): Promise<Outcome> {
  log(`\n${job.name}: ${job.about}`);
  const before = await busyCores();
  const measured = await job.run(bench);
  // Goals are about the job's own model.
  const outcome =
    bench.model === undefined
      ? measured
      : {
          ...measured,
          figures: measured.figures.map((figure) => ({ ...figure, goal: undefined })),
        };
  const after = await busyCores();
  const result = {
    job: job.name,
    about: job.about,
    date: new Date().toISOString(),
    commit: commit(),
    machine: { ...machine(), busyCores: { before, after } },
    threads: bench.threads,
    ...outcome,
  };
  mkdirSync(out, { recursive: true });
  const name = bench.model === undefined ? job.name : `${job.name}-${bench.model}`;
  writeFileSync(join(out, `${name}.json`), `${JSON.stringify(result, undefined, 2)}\n`);
  if (json) console.log(JSON.stringify(result));
  for (const note of outcome.notes ?? []) log(`note: ${note}`);
  if (Math.max(before, after) > 0.1)
    log(
      `note: other programs kept ${before.toFixed(1)} cores busy before the job and ${after.toFixed(1)} after it, which hits the two sides unequally: measure on a machine that does nothing else`,
    );
  if (outcome.sameWork) {
    const { steps, loss, gradient, moment, movement, same } = outcome.sameWork;
    log(
      `${same ? 'same work' : 'DIFFERENT WORK, figures mean nothing'}: ${steps} steps; relative difference of losses ${number(loss)}, of the first gradient ${number(gradient)}, of gradients' means ${number(moment)}, of the row's movement ${number(movement)}`,
    );
  }
  return outcome;
}

async function main(args: string[]): Promise<number> {
  const settings = settingsOf(args);
  if (!settings) {
    console.log(usage);
    return 0;
  }
  const { bench, chosen, json } = settings;
  const { cpu, flags, physicalCores, memory } = machine();
  const results: { job: string; outcome: Outcome }[] = [];
  let status = 0;
  for (const job of chosen) {
    try {
      const outcome = await measure(job, settings);
      results.push({ job: job.name, outcome });
      if (outcome.sameWork?.same === false) status = 1;
    } catch (error) {
      log(`${job.name} was not measured: ${(error as Error).message}`);
      status = error instanceof UserError ? Math.max(status, 2) : 1;
    }
  }
  const versions = Object.assign({}, ...results.map(({ outcome }) => outcome.versions)) as object;
  const summary = [
    '',
    `${cpu} (${flags.join(' ')}), ${physicalCores} cores, ${memory} GB; both sides ${bench.threads} threads`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
    `commit ${commit()}, ${new Date().toISOString()}`,
    'ratio: theirs / ours, of medians; of pairs: the median of the pairs’ own ratios',
    '',
    figuresTable(results),
  ].join('\n');
  if (results.length > 0) (json ? log : console.log)(summary);
  return status;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
