import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MemoryWatch, type Peaks } from '../measure/memory.ts';
import { median } from '../measure/statistics.ts';
import { cache, checkpointOf, type ModelName } from '../workload/models.ts';
import { writeRecord } from '../workload/record.ts';
import { token } from '../workload/task.ts';
import type { Figure, Job } from './job.ts';

const size = { batch: 1, latents: 32 };
const stepCount = 4;

/** Of the project's own pictures, in place of a record. */
const outline = (name: string): string =>
  fileURLToPath(new URL(`../../packages/nano/outline/${name}`, import.meta.url));
const pictures = ['--images', outline('train'), '--batch', '1', '--resolution'];
const subject = ['--prompt', 'a photo of sks boy'];

interface Command {
  readonly method: string;
  /** Whether the new word stands in the prompts. */
  readonly word?: boolean;
  readonly args: readonly string[];
  readonly out: string;
  /** Another base than the job's. */
  readonly model?: ModelName;
}

/** Commands of `sdft train`, with what each writes. They replay a record, unless they name pictures. */
const commands: readonly Command[] = [
  {
    method: 'textual-inversion',
    word: true,
    args: ['--token', token, '--init', 'zeros', '--lr', '5e-4'],
    out: 'word.safetensors',
  },
  { method: 'hypernetwork', args: ['--lr', '1e-5'], out: 'hypernetwork.pt' },
  { method: 'lora', args: ['--rank', '8', '--lr', '1e-4'], out: 'lora.safetensors' },
  {
    method: 'pivotal',
    word: true,
    args: ['--token', token, '--init', 'zeros', '--inversion-steps', '2', '--rank', '8'],
    out: 'pivotal.safetensors',
  },
  {
    // A picture and one of its class in each step.
    method: 'dreambooth',
    args: [
      ...[...pictures, '256', ...subject, '--class-prompt', 'a photo of a boy'],
      ...['--class-images', outline('validation'), '--class-count', '10', '--over', 'lora'],
    ],
    out: 'subject.safetensors',
  },
  {
    method: 'super-resolution',
    model: 'x4-upscaler',
    args: [...pictures, '256', ...subject],
    out: 'upscaler',
  },
  { method: 'full', args: ['--lr', '1e-5'], out: 'full' },
];

interface Measured {
  readonly seconds: number;
  readonly untilFirst: number;
  readonly peaks: Peaks;
  readonly bytes: number;
  readonly losses: readonly number[];
}

/** What people run, at SD1.5's size: the whole command, its file written. Ours only. */
export const methods: Job = {
  name: 'methods',
  about:
    'sdft train of each method at SD1.5’s size, 256 px, batch 1: seconds a step, peak memory, size of the file',
  run: async (bench) => {
    const model = bench.model ?? 'sd15';
    const checkpoint = await checkpointOf(model, bench.log);
    const latents = model === 'tiny' ? 16 : size.latents;
    const samples: Record<string, Measured> = {};
    for (const command of commands) {
      // Another model that tries the harness out enlarges nothing.
      if (bench.model !== undefined && command.model !== undefined) continue;
      const { word = false, args } = command;
      const base = command.model ? await checkpointOf(command.model, bench.log) : checkpoint;
      const data = args.includes('--images')
        ? []
        : ['--replay', (await writeRecord(base, { ...size, latents }, stepCount, { word })).record];
      const measured = await train(base, data, bench.threads, command);
      samples[command.method] = measured;
      bench.log(
        `${command.method}: ${measured.seconds.toFixed(2)} s a step, ${(measured.peaks.anonymous / 1e9).toFixed(2)} GB anonymous, ${(measured.peaks.all / 1e9).toFixed(2)} GB in all`,
      );
    }
    const figures = Object.entries(samples).flatMap(
      ([method, { seconds, peaks, bytes }]): Figure[] => [
        { figure: `${method}, a step`, unit: 's', ours: seconds },
        { figure: `${method}, peak anonymous`, unit: 'GB', ours: peaks.anonymous / 1e9 },
        { figure: `${method}, peak in all`, unit: 'GB', ours: peaks.all / 1e9 },
        { figure: `${method}, file`, unit: 'GB', ours: bytes / 1e9 },
      ],
    );
    return {
      workload: { model, ...size, latents: [latents, latents], steps: stepCount },
      versions: { node: process.versions.node },
      figures,
      samples,
    };
  },
};

async function train(
  checkpoint: string,
  data: readonly string[],
  threads: number,
  { method, args, out }: Command,
): Promise<Measured> {
  const folder = mkdtempSync(join(cache, 'methods-'));
  try {
    const began = performance.now();
    const child = spawn(
      process.execPath,
      [
        '--conditions=@sdft/source',
        fileURLToPath(new URL('../../packages/cli/bin/sdft.mjs', import.meta.url)),
        ...['train', method, '--base', checkpoint, ...data, '--json'],
        ...['--steps', String(stepCount), '--seed', '0', ...args, '--out', join(folder, out)],
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, OMP_NUM_THREADS: String(threads) },
      },
    );
    const watch = new MemoryWatch(child.pid!);
    const times: number[] = [];
    const losses: number[] = [];
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        const { loss } = JSON.parse(line) as { loss?: number };
        if (loss === undefined) continue;
        times.push(performance.now());
        losses.push(loss);
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      if (child.exitCode !== 0)
        throw new Error(
          `sdft train ${method} ended with ${child.signalCode ?? `status ${child.exitCode}`}`,
        );
    } finally {
      watch.stop();
    }
    const between = times.slice(1).map((time, i) => (time - times[i]!) / 1000);
    return {
      // The first steps touch memory for the first time.
      seconds: median(between.slice(-2)),
      untilFirst: (times[0]! - began) / 1000,
      peaks: watch.peaks(),
      bytes: bytesUnder(folder),
      losses,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const bytesUnder = (path: string): number =>
  statSync(path).isDirectory()
    ? readdirSync(path).reduce((sum, name) => sum + bytesUnder(join(path, name)), 0)
    : statSync(path).size;
