import type { Backend, Executable, Graph, HostArray, Weight } from '@sdft/tensor';
import { nullBackend } from '@sdft/tensor';
import { LruCache } from './lru.ts';

/** What a graph runs with, beside its inputs. */
export interface Program {
  readonly graph: Graph;
  readonly weights: ReadonlyMap<string, Weight>;
}

/** An executable, and the names of its states. */
export interface Loaded extends Executable {
  readonly states: readonly string[];
}

/** Compiled graphs by key, kept within a budget of bytes; calls of one executable wait for each other. */
export class Executables {
  readonly #backend: Backend;
  readonly #cache: LruCache<Loaded>;
  readonly #coming = new Map<string, Promise<Loaded>>();
  #leaving: Promise<void>[] = [];

  constructor(backend: Backend, budget: number) {
    this.#backend = backend;
    this.#cache = new LruCache(budget, (dropped) => {
      this.#leaving.push(dropped.dispose());
    });
  }

  /** The executable of a key, compiled where it is not there. `program` must be the same for the same key. */
  get(key: string, program: () => Program): Promise<Loaded> {
    const known = this.#cache.get(key);
    if (known) return Promise.resolve(known);
    const pending = this.#coming.get(key);
    if (pending) return pending;
    const coming = this.#compile(key, program());
    this.#coming.set(key, coming);
    return coming;
  }

  async #compile(key: string, { graph, weights }: Program): Promise<Loaded> {
    try {
      const [plan, executable] = await Promise.all([
        nullBackend.compile(graph),
        this.#backend.compile(graph, { weights }),
      ]);
      const compiled = { ...oneAtATime(executable), states: statesOf(graph) };
      // Weights lie in files that every graph maps; they are not counted.
      this.#cache.set(key, compiled, plan.memory.activations + plan.memory.state);
      return compiled;
    } finally {
      this.#coming.delete(key);
    }
  }

  /** Lets go of everything. */
  async dispose(): Promise<void> {
    await Promise.allSettled(this.#coming.values());
    this.#cache.clear();
    const leaving = this.#leaving;
    this.#leaving = [];
    await Promise.all(leaving);
  }
}

/** The same executable, whose calls queue: its inputs lie in one place, which a second call would overwrite. */
export function oneAtATime(executable: Executable): Executable {
  let last: Promise<unknown> = Promise.resolve();
  const queued = <T>(call: () => Promise<T>): Promise<T> => {
    const result = last.then(call);
    last = result.catch(() => undefined);
    return result;
  };
  return {
    memory: executable.memory,
    run: (inputs?: Readonly<Record<string, HostArray>>) => queued(() => executable.run(inputs)),
    read: (state) => queued(() => executable.read(state)),
    view: (state) => queued(() => executable.view(state)),
    write: (state, value) => queued(() => executable.write(state, value)),
    borrow: (state, value) => queued(() => executable.borrow(state, value)),
    dispose: () => queued(() => executable.dispose()),
  };
}

/** Names of a graph's states. */
export const statesOf = (graph: Graph): string[] =>
  graph.nodes.flatMap((node) => (node.op === 'input' && node.attrs.state ? [node.attrs.name] : []));
