/** @file One side of a pair: a program that trains, watched from outside. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryWatch } from '../measure/memory.ts';
import { median } from '../measure/statistics.ts';

export interface Measured {
  /** Seconds of a step: the median of the times between the ends of steps, which leaves loading, compilation and the first step out. */
  readonly secondsPerStep: number;
  /** The same in seconds of processor time, by what the system counted from the end of the first step to that of the last. */
  readonly processorPerStep: number;
  /** Seconds of the whole command. */
  readonly whole: number;
  /** Bytes. */
  readonly peakAnonymous: number;
  /** Bytes, mapped files included. */
  readonly peakAll: number;
  /** Bytes of the result. */
  readonly bytes: number;
}

/**
 * Runs a trainer to its end.
 *
 * @param stepOf the steps that are done, out of a piece of its output; both of its streams are read
 * @throws Error with the end of its output where it fails or does not say all its steps
 */
export async function measured(
  command: readonly [program: string, ...args: string[]],
  options: {
    readonly steps: number;
    readonly result: string;
    readonly env: NodeJS.ProcessEnv;
    stepOf(text: string): Iterable<number>;
  },
): Promise<Measured> {
  const [program, ...args] = command;
  const began = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: options.env });
  const watch = new MemoryWatch(child.pid!, 50);
  const ends: number[] = [];
  const processor: number[] = [];
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      const now = performance.now();
      for (const step of options.stepOf(text))
        if (step > 0 && ends[step - 1] === undefined) {
          ends[step - 1] = now;
          processor[step - 1] = processorSeconds(child.pid!);
        }
      said = (said + text).slice(-6000);
    });
  const [status] = (await once(child, 'close')) as [number | null];
  watch.stop();
  const whole = (performance.now() - began) / 1000;
  const failed = (what: string) => new Error(`${command.join(' ')}: ${what}:\n${said}`);
  if (status !== 0) throw failed(`ended with status ${status}`);
  const times = Array.from({ length: options.steps }, (_, i) => ends[i]);
  if (times.some((time) => time === undefined)) throw failed('did not tell every step');
  const between = times.slice(1).map((time, i) => (time! - times[i]!) / 1000);
  const peaks = watch.peaks();
  return {
    secondsPerStep: median(between),
    processorPerStep: (processor.at(-1)! - processor[0]!) / between.length,
    whole,
    peakAnonymous: peaks.anonymous,
    peakAll: peaks.all,
    bytes: bytesOf(options.result),
  };
}

/** Steps in what `tqdm` draws of a training: `Steps:  7%|... | 7/100 [00:12<...`. Bars of other names are other work, such as pictures that are read. */
export function* stepsOfBar(text: string, steps: number): Generator<number> {
  const bar = new RegExp(`(?:Steps|Training hypernetwork)[^\\r\\n]*? (\\d+)/${steps} \\[`, 'g');
  for (const [, step] of text.matchAll(bar)) yield Number(step);
}

/** Steps in the lines that ours.ts prints. */
export function* stepsOfLines(text: string): Generator<number> {
  for (const [, step] of text.matchAll(/^\{"step":(\d+),"loss"/gm)) yield Number(step);
}

/** Seconds of processor time that a process has taken in all its threads: fields 14 and 15 of /proc/PID/stat, in hundredths. */
function processorSeconds(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const [user, system] = fields.split(' ').slice(11, 13).map(Number) as [number, number];
  return (user + system) / 100;
}

const bytesOf = (path: string): number =>
  statSync(path).isDirectory()
    ? readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0)
    : statSync(path).size;
