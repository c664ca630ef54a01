/** @file Trains by other programs and by sdft with the same settings, pair by pair, and measures what was learned. How: docs/benchmarks.md. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Parts, SAMPLER } from '@sdft/compare/node';
import { cpu } from '@sdft/methods';
import { UserError } from '@sdft/tensor';
import { commit, machine } from '../report/machine.ts';
import { evaluate, look, type Measure, prompts } from './evaluate.ts';
import { classCount, classPrompt, type Method, methods, seedsOf } from './methods.ts';
import { withLearning } from './page.ts';
import { foldersOf, pairIn, type Place, trainPair } from './pairs.ts';
import { type Prepared, prepare } from './prepare.ts';
import type { Evaluation, MethodResult, Pair, Results } from './results.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const log = (text: string): void => console.error(text);

const usage = `node --conditions=@sdft/source benchmarks/learning/run.ts --work DIR --python PATH --diffusers DIR --webui DIR [--threads N] [--method NAME] [--seed N] [--results]

  --work DIR       what was prepared, trained and measured; what is in it is not done again, unless settings, threads, base or pictures are others now
  --python PATH    a Python with tools/learning/requirements.txt
  --diffusers DIR  huggingface/diffusers, as tools/learning/requirements.txt says
  --webui DIR      AUTOMATIC1111/stable-diffusion-webui v1.10.1
  --threads N      of each side (1); more where the machine does nothing else: on a shared one, threads wait for each other, and most of what is measured is how they do that
  --method NAME    ${methods.map(({ name }) => name).join(', ')}; by default all
  --seed N         from 0 on; by default three, and eight of textual-inversion
  --steps N        tries it out with fewer steps; such figures mean nothing
  --results        evaluates what was measured with these threads and steps, writes results/learning.json and its part of docs/benchmarks.md`;

/** @returns what the scores rest on, beside the result */
async function evaluated(place: Place, measure: Measure, method: Method) {
  const { evaluation: before, about } = await evaluate(method, measure);
  said(method, 'before', before);
  const pairs: Pair[] = [];
  for (const seed of seedsOf(method)) {
    const trained = pairIn(place, method, seed);
    if (!trained) continue;
    const { theirs, ours } = foldersOf(place.work, method, seed);
    const results = {
      theirs: method.theirs(place.paths, seed, theirs).result,
      ours: method.ours(place.paths, ours).result,
    };
    const of = async (side: keyof typeof results) => {
      const { evaluation } = await evaluate(method, measure, results[side]);
      said(method, `seed ${seed}, ${side}`, evaluation);
      return { ...evaluation, ...trained[side] };
    };
    const { busyCores } = trained;
    pairs.push({ seed, busyCores, theirs: await of('theirs'), ours: await of('ours') });
  }
  const { name, title, theirProgram, settings, also, template } = method;
  const result: MethodResult = {
    ...{ method: name, title, theirProgram, settings, also, captions: template },
    ...{ before, pairs },
  };
  return { result, about };
}

const said = ({ name }: Method, what: string, evaluation: Evaluation): void =>
  log(`${name}, ${what}: ${JSON.stringify(evaluation)}`);

function versionsOf(python: string): Record<string, string> {
  const packages = ['torch', 'diffusers', 'transformers', 'peft', 'accelerate'];
  const script =
    'import json, platform, sys; from importlib.metadata import version; print(json.dumps({"python": platform.python_version(), **{n: version(n) for n in sys.argv[1:]}}))';
  const text = execFileSync(python, ['-c', script, ...packages], { encoding: 'utf8' });
  return { node: process.versions.node, ...(JSON.parse(text) as Record<string, string>) };
}

async function writeResults(place: Place, asked: readonly Method[], { keptBack, base }: Prepared) {
  const lacking = asked.filter(
    (method) => !seedsOf(method).some((seed) => pairIn(place, method, seed)),
  );
  if (lacking.length > 0)
    throw new UserError(
      `${place.work}: no pair of ${lacking.map(({ name }) => name).join(', ')} with ${place.threads} threads and the settings, base and pictures of now: the same command without --results measures them`,
    );
  const { plain } = place.paths;
  const measure: Measure = {
    ...{ base: place.paths.base, keptBack, inputs: place.inputs, backend: cpu() },
    shown: readdirSync(plain).map((name) => join(plain, name)),
    parts: await Parts.open(join(place.work, 'evaluated')),
  };
  const found = [];
  for (const method of asked) found.push(await evaluated(place, measure, method));
  const results: Results = {
    job: 'learning',
    about:
      'the same training by other programs and by sdft, measured by sdft on pictures that were kept back, and on what is drawn',
    date: new Date().toISOString(),
    commit: commit(),
    machine: machine(),
    threads: place.threads,
    versions: versionsOf(place.python),
    data: {
      base: 'packages/nano/model in float32',
      baseHash: base,
      pictures: 'packages/nano/outline/train, 25',
      keptBack: 'packages/nano/outline/validation, 10, each at 8 timesteps',
      class: `"${classPrompt}", ${classCount}, drawn by sdft generate`,
      drawn: { prompts, ...look, sampler: SAMPLER },
      classifier: found[0]!.about,
    },
    methods: found.map(({ result }) => result),
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
      threads: { type: 'string', default: '1' },
      method: { type: 'string' },
      seed: { type: 'string' },
      steps: { type: 'string' },
      results: { type: 'boolean', default: false },
    },
  });
  const { python, diffusers, webui } = values;
  if (!values.work || !python || !diffusers || !webui) throw new UserError(usage);
  const threads = atLeast(1, '--threads', values.threads);
  // A step's time is what lies between the ends of two.
  const steps = values.steps === undefined ? undefined : atLeast(2, '--steps', values.steps);
  const { method: name, seed } = values;
  const chosen = methods.filter((method) => name === undefined || method.name === name);
  if (chosen.length === 0) throw new UserError(`--method ${name}: there is no such method`);
  const wanted = chosen.flatMap((method) => seedsOf(method).map((one) => ({ method, seed: one })));
  const pairs = wanted
    .filter((one) => seed === undefined || `${one.seed}` === seed)
    .sort((a, b) => a.seed - b.seed);
  if (pairs.length === 0)
    throw new UserError(`--seed ${seed}: not ${wanted.map((one) => one.seed).join(', ')}`);

  const work = resolve(values.work);
  const theirs = { diffusers: resolve(diffusers), webui: resolve(webui) };
  const prepared = prepare(work, theirs, log);
  const { paths, inputs } = prepared;
  const place: Place = { work, paths, python, inputs, threads, note: log };
  const asked = (method: Method): Method => ({
    ...method,
    settings: { ...method.settings, ...(steps !== undefined && { steps }) },
  });
  if (values.results) return writeResults(place, methods.map(asked), prepared);
  for (const pair of pairs) {
    const method = asked(pair.method);
    if (!pairIn(place, method, pair.seed)) await trainPair(place, method, pair.seed);
  }
}

function atLeast(least: number, flag: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least)
    throw new UserError(`${flag} ${text}: a whole number of at least ${least} is needed`);
  return number;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  log(error.message);
  process.exitCode = 2;
}
