/** @file The way to the compute thread and back. */
import { Worker } from 'node:worker_threads';
import { internal } from '../../errors.ts';
import { explain } from './failures.ts';
import type { SharedTensor } from './sharedTensor.ts';
import type { Reply, Request, SessionOptions } from './worker.ts';

// Bundled, the worker lies beside the bundle as a script; in the sources, beside this file as TypeScript.
const script = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
const startWorker = (): Worker => {
  // ONNX Runtime reports its use to Microsoft, and keeps a number of the machine, unless this says otherwise before it is loaded.
  process.env.ORT_DISABLE_TELEMETRY ??= '1';
  return new Worker(new URL(script, import.meta.url));
};

type Pending = { readonly resolve: () => void; readonly reject: (error: Error) => void };
/** Omit over each member of a union. */
type Uncalled<R> = R extends unknown ? Omit<R, 'call'> : never;

/** A model that ONNX Runtime has loaded. */
export interface Session {
  /** Computes `fetches` from `feeds`. Throws UserError where memory is short, and an internal error if the thread has ended. */
  run(feeds: readonly SharedTensor[], fetches: readonly SharedTensor[]): Promise<void>;
  /** Lets go of the model; a second time does nothing. */
  release(): Promise<void>;
}

/** Sessions of ONNX Runtime in one thread, which is started for the first and ends with the last. A thread that failed is replaced at the next `create`. */
export class Runtime {
  readonly #start: () => Worker;
  #thread: Thread | undefined;

  constructor(start = startWorker) {
    this.#start = start;
  }

  /** @param folder what the model's external data is relative to */
  async create(model: Uint8Array, folder: string, options: SessionOptions): Promise<Session> {
    if (!this.#thread || this.#thread.failure) this.#thread = new Thread(this.#start());
    const thread = this.#thread;
    const session = ++thread.sessions;
    thread.open++;
    try {
      await thread.ask({ kind: 'create', session, model, folder, options });
    } catch (error) {
      await this.#close(thread);
      throw error;
    }
    let released: Promise<void> | undefined;
    return {
      run: (feeds, fetches) => thread.ask({ kind: 'run', session, feeds, fetches }),
      release: () => (released ??= this.#release(thread, session)),
    };
  }

  async #release(thread: Thread, session: number): Promise<void> {
    try {
      if (!thread.failure) await thread.ask({ kind: 'release', session });
    } finally {
      await this.#close(thread);
    }
  }

  async #close(thread: Thread): Promise<void> {
    if (--thread.open > 0) return;
    if (this.#thread === thread) this.#thread = undefined;
    await thread.end();
  }
}

/** One worker and the calls that wait for it. */
class Thread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  /** How many sessions it was ever asked for, and how many of them are still wanted. */
  sessions = 0;
  open = 0;
  /** Why it no longer answers. */
  failure: Error | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', ({ call, error }: Reply) => {
      const pending = this.#pending.get(call);
      this.#pending.delete(call);
      // An idle thread does not keep the program alive.
      if (this.#pending.size === 0) worker.unref();
      if (error === undefined) pending?.resolve();
      else pending?.reject(explain(error));
    });
    worker.on('error', (error) =>
      this.#fail(error instanceof Error ? error.message : String(error)),
    );
    worker.on('exit', (code) => this.#fail(`exit status ${code}`));
  }

  ask(request: Uncalled<Request>): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    const call = ++this.#calls;
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      this.#worker.postMessage({ ...request, call });
    });
  }

  async end(): Promise<void> {
    this.#fail('it was let go of');
    await this.#worker.terminate();
  }

  #fail(why: string): void {
    this.failure ??= internal(`the compute thread has ended (${why}); compile the graph again`);
    for (const { reject } of this.#pending.values()) reject(this.failure);
    this.#pending.clear();
  }
}
