/** @file The way to the worker thread and back. */
import { Worker } from 'node:worker_threads';
import { internal, UserError } from '../../errors.ts';
import type { Reply, Request, SessionOptions, SharedTensor } from './worker.ts';

// Bundled, the worker lies beside the bundle as a script; in the sources, beside this file as TypeScript.
const script = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
type Pending = { resolve: () => void; reject: (error: Error) => void };
/** Omit over each member of a union. */
type Uncalled<R> = R extends unknown ? Omit<R, 'call'> : never;

/** Sessions of ONNX Runtime in one worker thread, which ends when the last session is released. */
export class Runtime {
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #calls = 0;
  #sessions = 0;
  #open = 0;

  async create(model: string, options: SessionOptions): Promise<number> {
    const session = ++this.#sessions;
    await this.#ask({ kind: 'create', session, model, options });
    this.#open++;
    return session;
  }

  run(
    session: number,
    feeds: readonly SharedTensor[],
    fetches: readonly SharedTensor[],
  ): Promise<void> {
    return this.#ask({ kind: 'run', session, feeds, fetches });
  }

  async release(session: number): Promise<void> {
    if (!this.#worker) return;
    await this.#ask({ kind: 'release', session });
    if (--this.#open > 0 || this.#pending.size > 0) return;
    const worker = this.#worker;
    this.#worker = undefined;
    await worker.terminate();
  }

  #ask(request: Uncalled<Request>): Promise<void> {
    const call = ++this.#calls;
    const worker = (this.#worker ??= this.#start());
    worker.ref();
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      worker.postMessage({ ...request, call });
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL(script, import.meta.url));
    worker.on('message', ({ call, error }: Reply) => {
      const pending = this.#pending.get(call);
      this.#pending.delete(call);
      // An idle worker does not keep the program alive.
      if (this.#pending.size === 0) worker.unref();
      if (error === undefined) pending?.resolve();
      else pending?.reject(explain(error));
    });
    const fail = (error: Error) => {
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
      if (this.#worker === worker) this.#worker = undefined;
    };
    worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', (code) => fail(internal(`the compute thread ended with status ${code}`)));
    return worker;
  }
}

function explain(error: string): Error {
  if (/Cannot find (package|module)|onnxruntime_binding|ERR_DLOPEN_FAILED/.test(error))
    return new UserError(
      `the cpu backend needs onnxruntime-node, which could not be loaded (${error}). Reinstall it; where its install script cannot download, set ONNXRUNTIME_NODE_INSTALL=skip.`,
    );
  if (/bad allocation|Failed to allocate memory/.test(error))
    return new UserError(
      `not enough memory for this step (${error}). Lower the resolution or the batch, or turn recompute on.`,
    );
  return internal(`ONNX Runtime: ${error}`);
}
