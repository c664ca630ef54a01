/** @file A compiled graph: the memory that its inputs, states and results lie in, and one call after the other. */
import type { Executable, HostArray, MemoryPlan } from '../../backend.ts';
import { UserError } from '../../errors.ts';
import { bytesOf } from '../../graph/rules.ts';
import {
  type DType,
  type Graph,
  sameShape,
  stridesOf,
  type TensorType,
} from '../../graph/types.ts';
import { copyInto, hostArray, hostDataOf } from '../../host/array.ts';
import { checkRowNumbers, type rowNumbersOf } from '../../host/rowNumbers.ts';
import { type Signature, takeInputs, takeState, typeOfState } from '../../host/signature.ts';
import type { Name } from './emit.ts';
import type { OnnxModel } from './onnx.ts';
import type { Session } from './runtime.ts';
import type { UpdateKernel } from './updates/plan.ts';
import { UpdatePool, type UpdateWork } from './updates/pool.ts';
import { type SharedTensor, share, viewOf } from './sharedTensor.ts';

export interface ExecutableParts {
  readonly graph: Graph;
  readonly rowNumbers: ReturnType<typeof rowNumbersOf>;
  readonly signature: Signature;
  readonly model: Pick<OnnxModel, 'inputs' | 'outputs'>;
  readonly session: Session;
  /** What updates states in place once the session has run. */
  readonly kernels: readonly UpdateKernel[];
  /** Threads of those updates. */
  readonly threads: number;
  /** Weights that are given at each run, by the names of the model's inputs. */
  readonly held: ReadonlyMap<Name, SharedArrayBuffer>;
  readonly memory: MemoryPlan;
  /** First values of states, each asked for when its turn comes. */
  readonly initial: Iterable<readonly [name: string, type: TensorType, value: () => HostArray]>;
  /** Called once, when the session has been released. */
  readonly released: () => void;
}

const copyOf = (tensor: SharedTensor): HostArray =>
  hostArray(viewOf(tensor).slice(), tensor.dims) as HostArray;

/** The memory of an array that is all of a shared buffer, row-major; undefined where it is not. */
function sharedBufferOf(
  { data, shape, stride, offset }: HostArray,
  type: TensorType,
): SharedArrayBuffer | undefined {
  const { buffer } = data;
  const isWhole =
    offset === 0 &&
    sameShape(shape, type.shape) &&
    sameShape(stride, stridesOf(type.shape)) &&
    data.constructor === hostDataOf({ ...type, shape: [0] }).constructor &&
    buffer.byteLength === bytesOf(type);
  return isWhole && buffer instanceof SharedArrayBuffer ? buffer : undefined;
}

/** Calls wait for each other in the order in which they were made. After `dispose`, every other call throws UserError. */
export class CpuExecutable implements Executable {
  readonly memory: MemoryPlan;
  readonly #parts: Omit<ExecutableParts, 'initial'>;
  /** What the model reads and writes, by its own names. */
  readonly #feeds: Map<Name, SharedTensor>;
  readonly #fetches: Map<Name, SharedTensor>;
  readonly #states: Map<string, SharedTensor>;
  readonly #pool: UpdatePool | undefined;
  /** States that lie in somebody else's memory. */
  readonly #borrowed = new Set<string>();
  #last: Promise<unknown> = Promise.resolve();
  #disposed: Promise<void> | undefined;

  constructor({ initial, ...parts }: ExecutableParts) {
    const { signature, model, held, memory } = parts;
    this.#parts = parts;
    this.memory = memory;
    const typed = ({ name, type, shape }: OnnxModel['inputs'][number]): SharedTensor =>
      share(name, { shape, dtype: type as DType }, held.get(name));
    this.#feeds = new Map(model.inputs.map((value) => [value.name, typed(value)]));
    this.#fetches = new Map(model.outputs.map((value) => [value.name, typed(value)]));
    // The model holds only what its results need; states live on without it.
    this.#states = new Map(
      [...signature.states].map(([name, type]) => [
        name,
        this.#feeds.get(`in:${name}`) ?? share(`in:${name}`, type),
      ]),
    );
    this.#pool = parts.kernels.length > 0 ? new UpdatePool(parts.threads) : undefined;
    // They may be gigabytes: one after the other goes to its place.
    for (const [name, { shape }, value] of initial)
      copyInto(viewOf(this.#states.get(name)!), shape, value(), `state ${name}`);
  }

  async run(inputs: Readonly<Record<string, HostArray>> = {}): Promise<Record<string, HostArray>> {
    this.#alive();
    const { graph, rowNumbers, signature, session } = this.#parts;
    const given = takeInputs(signature, inputs);
    checkRowNumbers(rowNumbers, given);
    return this.#inTurn(async () => {
      for (const [name, data] of given) {
        const feed = this.#feeds.get(`in:${name}`);
        if (feed) viewOf(feed).set(data);
      }
      await session.run([...this.#feeds.values()], [...this.#fetches.values()]);
      for (const name of Object.keys(graph.updates))
        if (this.#fetches.has(`next:${name}`)) this.#swap(name);
      await this.#pool?.run(this.#work());
      return Object.fromEntries(
        Object.keys(graph.outputs).map((name) => [name, copyOf(this.#fetches.get(`out:${name}`)!)]),
      );
    });
  }

  async read(state: string): Promise<HostArray> {
    this.#alive();
    typeOfState(this.#parts.signature, state);
    return this.#inTurn(async () => copyOf(this.#states.get(state)!));
  }

  async view(state: string): Promise<HostArray> {
    this.#alive();
    typeOfState(this.#parts.signature, state);
    return this.#inTurn(async () => {
      const tensor = this.#states.get(state)!;
      return hostArray(viewOf(tensor), tensor.dims) as HostArray;
    });
  }

  async borrow(state: string, value: HostArray): Promise<void> {
    this.#alive();
    const { graph, signature } = this.#parts;
    const buffer = sharedBufferOf(value, typeOfState(signature, state));
    if (!buffer || Object.hasOwn(graph.updates, state)) return this.write(state, value);
    return this.#inTurn(async () => {
      this.#place({ ...this.#states.get(state)!, buffer }, state);
      this.#borrowed.add(state);
    });
  }

  async write(state: string, value: HostArray): Promise<void> {
    this.#alive();
    const data = takeState(this.#parts.signature, state, value);
    return this.#inTurn(async () => {
      if (this.#borrowed.delete(state))
        this.#place(share(`in:${state}`, typeOfState(this.#parts.signature, state)), state);
      viewOf(this.#states.get(state)!).set(data);
    });
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#inTurn(async () => {
      for (const tensors of [this.#feeds, this.#fetches, this.#states]) tensors.clear();
      try {
        await this.#parts.session.release();
        await this.#pool?.end();
      } finally {
        this.#parts.released();
      }
    });
    return this.#disposed;
  }

  #alive(): void {
    if (this.#disposed) throw new UserError('this graph was disposed of; compile it again');
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#last.then(call);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** The kernels with the arrays that they work on now. */
  #work(): UpdateWork[] {
    return this.#parts.kernels.map(({ size, source, operands }) => ({
      size,
      source,
      operands: operands.map((operand) => {
        const tensor =
          operand.kind === 'state'
            ? this.#states.get(operand.name)!
            : this.#fetches.get(`out:${operand.output}`)!;
        return {
          type: tensor.type === 'bool' ? 'bool' : 'float32',
          buffer: tensor.buffer,
          scalar: operand.kind === 'scalar',
        };
      }),
    }));
  }

  /** From now on a state lies there. */
  #place(tensor: SharedTensor, state: string): void {
    this.#states.set(state, tensor);
    if (this.#feeds.has(tensor.name)) this.#feeds.set(tensor.name, tensor);
  }

  /** A state and its next value change places: what was written becomes what is read. */
  #swap(name: string): void {
    const old = this.#states.get(name)!;
    const next = this.#fetches.get(`next:${name}`)!;
    this.#place({ ...old, buffer: next.buffer }, name);
    this.#fetches.set(next.name, { ...next, buffer: old.buffer });
  }
}
