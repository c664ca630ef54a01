/** @file A side of a comparison: a child process that computes a step when told to. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Ready, Step, Task } from '../workload/task.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** How a side is started; `name` is what tables call it. */
export interface Side {
  readonly name: 'ours' | 'theirs';
  readonly command: readonly [program: string, ...args: string[]];
}
export const ours: Side = {
  name: 'ours',
  command: [process.execPath, '--conditions=@sdft/source', here('ours.ts')],
};
export const theirs = (python: string): Side => ({
  name: 'theirs',
  command: [python, here('../peers/textual_inversion.py')],
});

/** Running contestants. Where this process is interrupted they end as well: their stdin does. */
export class Contestant {
  readonly side: Side;
  readonly pid: number;
  /** `performance.now()` just before the process was started. */
  readonly started: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(side: Side, task: Task) {
    const [program, ...args] = side.command;
    this.side = side;
    this.started = performance.now();
    this.#child = spawn(program, [...args, JSON.stringify(task)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        // The same for OpenMP and MKL, whoever reads it.
        OMP_NUM_THREADS: String(task.threads),
        MKL_NUM_THREADS: String(task.threads),
        HF_HUB_OFFLINE: '1',
      },
    });
    this.pid = this.#child.pid ?? 0;
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#child.on('error', (error) => {
      this.#errors += error.message;
    });
    // A process that ended says so by the end of its stdout, not here.
    this.#child.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Resolves when the model is loaded and compiled. */
  ready(): Promise<Ready> {
    return this.#read<Ready>();
  }

  /** One step. */
  step(): Promise<Step> {
    this.#child.stdin.write('step\n');
    return this.#read<Step>();
  }

  async steps(count: number): Promise<Step[]> {
    const steps: Step[] = [];
    for (let i = 0; i < count; i++) steps.push(await this.step());
    return steps;
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.pid !== 0)
      await once(this.#child, 'exit');
  }

  async #read<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) {
      await this.stop();
      const { exitCode, signalCode } = this.#child;
      throw new Error(
        `${this.side.name} (${this.side.command.join(' ')}) ended with ${signalCode ?? `status ${exitCode}`}:\n${this.#errors}`,
      );
    }
    return JSON.parse(value as string) as T;
  }
}

/** Runs `body` with a contestant, which ends with it. */
export async function withContestant<T>(
  side: Side,
  task: Task,
  body: (contestant: Contestant) => Promise<T>,
): Promise<T> {
  const contestant = new Contestant(side, task);
  try {
    return await body(contestant);
  } finally {
    await contestant.stop();
  }
}
