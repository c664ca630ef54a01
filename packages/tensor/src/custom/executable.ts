/** @file A graph whose custom operations run on the host: segment by segment. */
import type { Executable, HostArray, MemoryPlan } from '../backend.ts';
import { UserError } from '../errors.ts';
import { bytesOf } from '../graph/rules.ts';
import type { Graph, NodeId } from '../graph/types.ts';
import { hostArray } from '../host/array.ts';
import { type Signature, signatureOf, takeInputs, typeOfState } from '../host/signature.ts';
import type { CustomNode, RunKernel } from './kernels.ts';
import { type CustomCall, valueName } from './split.ts';

export interface SegmentRun {
  /** undefined where there is nothing to compute. */
  readonly executable: Executable | undefined;
  readonly inputs: readonly string[];
  readonly states: readonly string[];
  readonly custom: readonly {
    readonly id: NodeId;
    readonly node: CustomNode;
    readonly run: RunKernel;
  }[];
  readonly done: readonly string[];
}

/** Calls wait for each other in the order in which they were made. The last segment that computes owns the states; those before it that read some borrow them. After `dispose`, every other call throws UserError. */
export class SegmentedExecutable implements Executable {
  readonly memory: MemoryPlan;
  readonly #graph: Graph;
  readonly #signature: Signature;
  readonly #runs: readonly SegmentRun[];
  readonly #owner: Executable;
  readonly #earlier: readonly SegmentRun[];
  readonly #released: () => Promise<void>;
  /** States that the earlier segments do not have as they are now. */
  readonly #stale: Set<string>;
  #last: Promise<unknown> = Promise.resolve();
  #disposed: Promise<void> | undefined;

  constructor(
    graph: Graph,
    { runs, owner }: { readonly runs: readonly SegmentRun[]; readonly owner: number },
    initial: Iterable<string>,
    released: () => Promise<void>,
  ) {
    this.#graph = graph;
    this.#signature = signatureOf(graph);
    this.#runs = runs;
    this.#owner = runs[owner]!.executable!;
    this.#earlier = runs.slice(0, owner);
    this.#released = released;
    this.#stale = new Set(initial);
    this.memory = memoryOf(graph, runs);
  }

  async run(inputs: Readonly<Record<string, HostArray>> = {}): Promise<Record<string, HostArray>> {
    this.#alive();
    const given = takeInputs(this.#signature, inputs);
    return this.#inTurn(async () => {
      await this.#lend();
      const values = new Map<string, HostArray>();
      for (const [name, data] of given)
        values.set(name, hostArray(data, this.#signature.inputs.get(name)!.shape) as HostArray);
      for (const { executable, inputs: names, custom, done } of this.#runs) {
        const computed = await executable?.run(
          Object.fromEntries(names.map((name) => [name, values.get(name)!])),
        );
        for (const [name, value] of Object.entries(computed ?? {})) values.set(name, value);
        for (const { id, node, run } of custom)
          values.set(
            valueName(id),
            await run(node.inputs.map((input) => values.get(valueName(input))!)),
          );
        for (const name of done) values.delete(name);
      }
      for (const name of Object.keys(this.#graph.updates)) this.#stale.add(name);
      return Object.fromEntries(
        Object.entries(this.#graph.outputs).map(([name, id]) => [name, values.get(valueName(id))!]),
      );
    });
  }

  async read(state: string): Promise<HostArray> {
    this.#alive();
    return this.#inTurn(() => this.#owner.read(state));
  }

  async view(state: string): Promise<HostArray> {
    this.#alive();
    return this.#inTurn(() => this.#owner.view(state));
  }

  async write(state: string, value: HostArray): Promise<void> {
    this.#alive();
    return this.#set(state, () => this.#owner.write(state, value));
  }

  async borrow(state: string, value: HostArray): Promise<void> {
    this.#alive();
    return this.#set(state, () => this.#owner.borrow(state, value));
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#inTurn(async () => {
      await this.#released();
      for (const { executable } of this.#runs) await executable?.dispose();
    });
    return this.#disposed;
  }

  #set(state: string, set: () => Promise<void>): Promise<void> {
    typeOfState(this.#signature, state);
    return this.#inTurn(async () => {
      await set();
      this.#stale.add(state);
    });
  }

  /** Gives the earlier segments the states that they read. */
  async #lend(): Promise<void> {
    for (const name of this.#stale) {
      const readers = this.#earlier.filter(({ states }) => states.includes(name));
      if (readers.length > 0) {
        const value = await this.#owner.view(name);
        for (const { executable } of readers) await executable?.borrow(name, value);
      }
      this.#stale.delete(name);
    }
  }

  #alive(): void {
    if (this.#disposed) throw new UserError('this graph was disposed of; compile it again');
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#last.then(call);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** The segments' own, and the values that are carried between them. */
export function memoryOf(
  graph: Graph,
  runs: readonly {
    readonly executable: { readonly memory: MemoryPlan } | undefined;
    readonly inputs: readonly string[];
    readonly custom: readonly CustomCall[];
  }[],
): MemoryPlan {
  const plans = runs.flatMap(({ executable }) => (executable ? [executable.memory] : []));
  const sum = (of: (plan: MemoryPlan) => number): number =>
    plans.reduce((total, plan) => total + of(plan), 0);
  const bytes = new Map(graph.nodes.map((node, id) => [valueName(id), bytesOf(node)]));
  const carried = new Set(
    runs.flatMap(({ inputs, custom }) => [
      ...inputs,
      ...custom.flatMap(({ id, node }) => [id, ...node.inputs].map(valueName)),
    ]),
  );
  const between = [...carried].reduce((total, name) => total + (bytes.get(name) ?? 0), 0);
  const weights = sum((plan) => plan.weights);
  const state = sum((plan) => plan.state);
  // Every segment keeps its own memory from run to run.
  const activations = sum((plan) => plan.activations) + between;
  return { weights, state, activations, total: weights + state + activations };
}
