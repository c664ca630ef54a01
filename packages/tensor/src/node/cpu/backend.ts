/** @file The cpu backend: a graph becomes one ONNX model, which ONNX Runtime runs in a thread of its own. */
import { availableParallelism } from 'node:os';
import type { Backend, CompileOptions, Executable, MemoryPlan } from '../../backend.ts';
import { aroundCustomOps, planAroundCustomOps } from '../../custom/backend.ts';
import { planMemory } from '../../graph/plan.ts';
import type { Graph } from '../../graph/types.ts';
import { signatureOf, takeStates, takeWeights } from '../../host/signature.ts';
import { rowNumbersOf } from '../../host/rowNumbers.ts';
import { optimize } from '../../optimize/optimize.ts';
import { CpuExecutable } from './executable.ts';
import { explain } from './failures.ts';
import { load } from './load.ts';
import { type LowerOptions, spellOut } from './lower.ts';
import { Runtime } from './runtime.ts';
import { MappedWeights } from './weights.ts';
import { planUpdates, type UpdatePlan } from './updates/plan.ts';
import type { SessionOptions } from './worker.ts';

export interface CpuOptions extends Partial<LowerOptions> {
  /** Threads that compute; by default the machine's physical cores. */
  readonly threads?: number;
  /** Bytes that rearranged copies of frozen weights may take, for speed; by default 640 MiB. */
  readonly packBytes?: number;
  /**
   * How many threads compute a part of the batch each, where a graph can be divided so; by default as many as compute. 1: all of them compute all of it, operator by operator, which
   * models of more than a GiB of weights do by default.
   */
  readonly shares?: number;
  /** Bytes of attention scores that a gradient holds at a time; by default 64 MiB: of 4096 queries and keys in 8 heads, an eighth. */
  readonly chunkBytes?: number;
  /** Bytes of attention scores that a thread works on at a time where each operator has one thread; by default 512 KiB: with probabilities and gradients, what a core's cache holds. */
  readonly tileBytes?: number;
  /** Updates of so many elements together are done by kernels of their own, in place; by default 2^20. */
  readonly kernelElements?: number;
  /** So are updates of so many states, however small, in one thread; by default 96: 32 tensors and what AdamW keeps of each. */
  readonly kernelStates?: number;
  /** Told what the person should know, such as that weights had to be copied; each message once. By default nobody is. */
  readonly onNotice?: (message: string) => void;
  /** Where ONNX Runtime writes a profile of every session when it is let go of; a path's beginning. */
  readonly profile?: string;
  readonly session?: Partial<SessionOptions>;
}

const MIB = 2 ** 20;
const defaults = {
  packBytes: 640 * MIB,
  chunkBytes: 64 * MIB,
  tileBytes: MIB / 2,
  kernelElements: 2 ** 20,
  kernelStates: 96,
  session: { prepacking: true, memoryPattern: false, arena: true },
};

/** ONNX Runtime on the processor: the default where there is no GPU. Throws UserError at the first compile if onnxruntime-node cannot be loaded. */
export function cpu(options: CpuOptions = {}): Backend {
  /** The first computes what is not divided. */
  const runtimes: Runtime[] = [];
  const runtime = (index: number): Runtime => (runtimes[index] ??= new Runtime());
  const told = new Set<string>();
  const notice = (message: string): void => {
    if (told.has(message)) return;
    told.add(message);
    options.onNotice?.(message);
  };
  /** Graphs that were planned and are likely to be compiled next. */
  const ready = new WeakMap<Graph, UpdatePlan>();
  const prepared = (graph: Graph): UpdatePlan =>
    ready.get(graph) ??
    planUpdates(
      optimize(spellOut(graph)),
      options.kernelElements ?? defaults.kernelElements,
      options.kernelStates ?? defaults.kernelStates,
    );
  return {
    name: 'cpu',
    plan: planAroundCustomOps((graph) => {
      const plan = prepared(graph);
      ready.set(graph, plan);
      return planOf(plan.residual);
    }),
    compile: aroundCustomOps((graph, compileOptions = {}) => {
      const plan = prepared(graph);
      ready.delete(graph);
      return compileOn(runtime, graph, plan, compileOptions, { ...options, onNotice: notice });
    }),
  };
}

/**
 * Results lie in memory of ours, which lasts, and onnxruntime-node 1.30.0 gives them back in copies besides: of full fine-tuning, the gradients. Held against measured peaks in
 * docs/decisions/0001-one-onnx-graph.md.
 */
const planOf = (graph: Graph): MemoryPlan => planMemory(graph, { donate: false, copied: true });

async function compileOn(
  runtime: (index: number) => Runtime,
  graph: Graph,
  { residual: spelled, kernels }: UpdatePlan,
  { weights = new Map(), state = {} }: CompileOptions,
  {
    threads,
    profile,
    packBytes = defaults.packBytes,
    chunkBytes = defaults.chunkBytes,
    tileBytes = defaults.tileBytes,
    kernelElements = defaults.kernelElements,
    shares,
    onNotice,
    session: sessionOptions = {},
  }: CpuOptions & { readonly onNotice: (message: string) => void },
): Promise<Executable> {
  const signature = signatureOf(graph);
  const wanted = takeWeights(signature, weights);
  const initial = [...takeStates(signature, state)];
  const updated = kernels.reduce((sum, { size, states }) => sum + size * states.length, 0);
  const source = new MappedWeights(wanted, onNotice);
  try {
    const { model, copiedBytes, session } = await load(runtime, spelled, source, {
      packBytes,
      chunkBytes,
      tileBytes,
      threads,
      shares,
      session: {
        ...defaults.session,
        ...(profile === undefined ? {} : { profile }),
        ...sessionOptions,
      },
    });
    const plan = planOf(spelled);
    try {
      return new CpuExecutable({
        graph,
        // As the model has it: optimizing may show that an input is used as it is.
        rowNumbers: rowNumbersOf(spelled),
        signature,
        model,
        session,
        kernels,
        threads: updated < kernelElements ? 1 : (threads ?? availableParallelism()),
        held: source.held,
        memory: { ...plan, weights: plan.weights + copiedBytes, total: plan.total + copiedBytes },
        initial,
        released: () => source.remove(),
      });
    } catch (error) {
      await session.release();
      throw error instanceof RangeError ? explain(error.message) : error;
    }
  } finally {
    source.remove();
  }
}
