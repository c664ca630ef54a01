/** @file The thread in which ONNX Runtime computes: it blocks its thread for a whole step, so it has one of its own. */
import { MessageChannel, parentPort } from 'node:worker_threads';
import type * as Ort from 'onnxruntime-node';
import { type SharedTensor, viewOf } from './sharedTensor.ts';

export interface SessionOptions {
  readonly prepacking: boolean;
  readonly memoryPattern: boolean;
  readonly arena: boolean;
  readonly threads?: number;
  readonly profile?: string;
}
export type Request =
  | {
      readonly kind: 'create';
      readonly call: number;
      readonly session: number;
      readonly model: Uint8Array;
      /** What the model's external data is relative to. */
      readonly folder: string;
      readonly options: SessionOptions;
    }
  | {
      readonly kind: 'run';
      readonly call: number;
      readonly session: number;
      readonly feeds: readonly SharedTensor[];
      readonly fetches: readonly SharedTensor[];
    }
  | { readonly kind: 'release'; readonly call: number; readonly session: number };
export type Reply = { readonly call: number; readonly error?: string };

const sessions = new Map<number, Ort.InferenceSession>();
let ort: typeof Ort | undefined;

async function create({
  session,
  model,
  folder,
  options: { prepacking, memoryPattern, arena, threads, profile },
}: Request & { kind: 'create' }): Promise<void> {
  ort ??= await import('onnxruntime-node');
  const created = await ort.InferenceSession.create(model, {
    // The graph arrives optimized; what ONNX Runtime would fold or merge is memory (docs/decisions/0001-one-onnx-graph.md).
    graphOptimizationLevel: 'disabled',
    enableMemPattern: memoryPattern,
    enableCpuMemArena: arena,
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
    // Errors arrive as exceptions; ONNX Runtime need not print them too.
    logSeverityLevel: 4,
    extra: {
      session: {
        // Between the operators of a step its threads wait for work without sleeping; after it they are not to go on so for as long as a small step takes.
        intra_op: { spin_duration_us: '1000' },
        disable_prepacking: prepacking ? '0' : '1',
        model_external_initializers_file_folder_path: folder,
      },
    },
  });
  sessions.set(session, created);
}

const view = (runtime: typeof Ort, tensor: SharedTensor): Ort.Tensor =>
  new runtime.Tensor(tensor.type, viewOf(tensor) as Uint8Array, tensor.dims);

async function handle(request: Request): Promise<void> {
  if (request.kind === 'create') return create(request);
  const session = sessions.get(request.session);
  if (!session || !ort) throw new Error(`internal: no session ${request.session}`);
  if (request.kind === 'release') {
    sessions.delete(request.session);
    session.endProfiling();
    return session.release();
  }
  const runtime = ort;
  const tensors = (list: readonly SharedTensor[]) =>
    Object.fromEntries(list.map((t) => [t.name, view(runtime, t)]));
  letGo(await session.run(tensors(request.feeds), tensors(request.fetches)));
}

/** Where buffers go that nobody wants: no one reads there, and their memory is free at once. */
const nowhere = new MessageChannel();
nowhere.port2.close();

/** Results lie in the memory that they were given. What comes back are copies of them (onnxruntime-node 1.30.0), gigabytes at times, which would wait for a collection of garbage. */
function letGo(copies: Ort.InferenceSession.ReturnType): void {
  nowhere.port1.postMessage(
    null,
    (Object.values(copies) as Ort.Tensor[]).flatMap(({ data }) =>
      ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer ? [data.buffer] : [],
    ),
  );
}

parentPort!.on('message', (request: Request) => {
  handle(request).then(
    () => parentPort!.postMessage({ call: request.call } satisfies Reply),
    (error: unknown) =>
      parentPort!.postMessage({
        call: request.call,
        error: error instanceof Error ? error.message : String(error),
      } satisfies Reply),
  );
});
