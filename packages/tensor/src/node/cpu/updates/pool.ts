/** @file Threads that share the elements of updates among them. */
import { Worker } from 'node:worker_threads';
import { internal } from '../../../errors.ts';
import type { UpdateJob, UpdateReply } from './worker.ts';

// Bundled, the worker lies beside the bundle as a script; in the sources, beside this file as TypeScript.
const script = import.meta.url.endsWith('.ts') ? './worker.ts' : './updateWorker.js';

/** What a kernel does, whole. */
export type UpdateWork = Omit<UpdateJob, 'from' | 'to'> & { readonly size: number };

/** Started with the first updates, and idle between them; an idle pool does not keep the program alive. */
export class UpdatePool {
  readonly #count: number;
  #workers: Worker[] = [];
  /** What the threads were last told to do. */
  #told: readonly UpdateWork[] = [];

  /** @param count of threads */
  constructor(count: number) {
    this.#count = Math.max(1, count);
  }

  /** Does all of `work`; one call at a time. Throws an internal error if a thread ends. */
  async run(work: readonly UpdateWork[]): Promise<void> {
    while (this.#workers.length < this.#count)
      this.#workers.push(new Worker(new URL(script, import.meta.url)));
    const count = this.#count;
    // Thousands of buffers take longer to be told of than small ones to be updated.
    const again = isSame(work, this.#told);
    this.#told = work;
    await Promise.all(
      this.#workers.map((worker, k) =>
        ask(
          worker,
          again
            ? 'again'
            : work.map(({ size, ...job }) => ({
                ...job,
                from: Math.floor((k * size) / count),
                to: Math.floor(((k + 1) * size) / count),
              })),
        ),
      ),
    );
  }

  async end(): Promise<void> {
    const workers = this.#workers;
    this.#workers = [];
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Whether it is the same in the same memory. */
const isSame = (work: readonly UpdateWork[], before: readonly UpdateWork[]): boolean =>
  work.length === before.length &&
  work.every(
    ({ source, operands }, i) =>
      source === before[i]!.source &&
      operands.every(({ buffer }, at) => buffer === before[i]!.operands[at]!.buffer),
  );

function ask(worker: Worker, jobs: readonly UpdateJob[] | 'again'): Promise<void> {
  worker.ref();
  return new Promise<void>((resolve, reject) => {
    const done = (error?: Error): void => {
      worker.off('message', answered).off('error', done).off('exit', ended).unref();
      if (error) reject(error);
      else resolve();
    };
    const answered = ({ error }: UpdateReply): void =>
      done(error === undefined ? undefined : internal(`an update failed: ${error}`));
    const ended = (code: number): void =>
      done(internal(`a thread of updates has ended (exit status ${code})`));
    worker.on('message', answered).on('error', done).on('exit', ended);
    worker.postMessage(jobs);
  });
}
