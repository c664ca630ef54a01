/** @file From a graph that is ready to what computes it: one model, or one for each part of the batch and one for the rest. */
import { type Divided, divide } from '../../graph/divide.ts';
import { type Graph, sizeOf } from '../../graph/types.ts';
import { signatureOf } from '../../host/signature.ts';
import { physicalCores } from './cores.ts';
import { lower, type LowerOptions } from './lower.ts';
import { encodeModel, type OnnxModel } from './onnx.ts';
import type { Runtime, Session } from './runtime.ts';
import { portsOf, SharedSession } from './shares.ts';
import type { MappedWeights } from './weights.ts';
import type { SessionOptions } from './worker.ts';

export interface Loaded {
  readonly model: Pick<OnnxModel, 'inputs' | 'outputs'>;
  readonly session: Session;
  /** Bytes of rearranged copies of weights. */
  readonly copiedBytes: number;
}

export interface LoadOptions extends LowerOptions {
  readonly threads?: number | undefined;
  readonly shares?: number | undefined;
  readonly session: SessionOptions;
}

/** Weights of a model that every thread computes with alone: its products are large enough to be divided. Each share maps them once more, too. */
const MOST_WEIGHTS = 2 ** 30;
/** Rows of a share: ONNX Runtime rounds products with a single row otherwise, and pictures are to differ as little as they can by how many are drawn together. */
const LEAST_ROWS = 2;
/** Elements of a graph that one thread computes sooner than it would wake another. */
const FEW = 2 ** 20;

/** @param runtime threads for sessions; the first is for what is not divided */
export async function load(
  runtime: (index: number) => Runtime,
  graph: Graph,
  source: MappedWeights,
  { shares, ...options }: LoadOptions,
): Promise<Loaded> {
  const divided =
    shares === undefined
      ? divide(graph, sharesOf(graph, options.threads), { leastRows: LEAST_ROWS })
      : divide(graph, shares);
  return divided
    ? loadShares(runtime, divided, source, options)
    : loadWhole(runtime(0), graph, source, options);
}

function sharesOf(graph: Graph, threads = physicalCores()): number {
  const { weights } = signatureOf(graph);
  const bytes = [...weights.values()].reduce((sum, shape) => sum + 4 * sizeOf(shape), 0);
  return bytes > MOST_WEIGHTS ? 1 : threads;
}

async function loadWhole(
  runtime: Runtime,
  graph: Graph,
  source: MappedWeights,
  { threads, session: options, ...lowering }: LoadOptions,
): Promise<Loaded> {
  const { model, copiedBytes } = lower(graph, source, lowering, { ...options, threads });
  source.report();
  const session = await runtime.create(encodeModel(model), source.root, {
    ...(threads === undefined ? {} : { threads }),
    ...options,
  });
  return { model, session, copiedBytes };
}

async function loadShares(
  runtime: (index: number) => Runtime,
  divided: Divided,
  source: MappedWeights,
  options: LoadOptions,
): Promise<Loaded> {
  const { parts, share, rest } = divided;
  const { threads = physicalCores(), session: wanted, ...lowering } = options;
  // Each would keep copies of its own. Those that the lowering makes lie in a file, which all of them map.
  const each = Math.floor(threads / parts);
  const session = { ...wanted, prepacking: false, threads: each };
  const lowered = lower(share, source, lowering, session);
  const last = lower(rest, source, { ...lowering, packBytes: 0 }, session);
  source.report();
  const create = (index: number, { model }: typeof lowered, its: number): Promise<Session> =>
    runtime(index).create(encodeModel(model), source.root, {
      ...session,
      threads: its,
      ...(session.profile === undefined ? {} : { profile: `${session.profile}-${index}` }),
    });
  const sizeOfRest = rest.nodes.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const created = await Promise.allSettled([
    ...Array.from({ length: parts }, (_, k) => create(k + 1, lowered, each)),
    create(0, last, sizeOfRest < FEW ? 1 : threads),
  ]);
  const sessions = created.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
  const failed = created.find((end) => end.status === 'rejected');
  if (failed) {
    await Promise.allSettled(sessions.map((one) => one.release()));
    throw failed.reason;
  }
  return {
    model: portsOf(divided, lowered.model, last.model),
    session: new SharedSession(
      sessions.slice(0, -1),
      sessions.at(-1)!,
      divided,
      lowered.model,
      last.model,
    ),
    copiedBytes: lowered.copiedBytes,
  };
}
