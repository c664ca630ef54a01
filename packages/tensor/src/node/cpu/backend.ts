/** @file The cpu backend: a graph becomes one ONNX model, which ONNX Runtime runs in a thread of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Backend, CompileOptions, Executable, HostArray } from '../../backend.ts';
import { internal } from '../../errors.ts';
import { planMemory } from '../../graph/plan.ts';
import { bytesOf } from '../../graph/rules.ts';
import type { DType, Graph, Shape } from '../../graph/types.ts';
import { hostArray } from '../../host/array.ts';
import {
  signatureOf,
  takeInputs,
  takeState,
  takeWeights,
  typeOfState,
} from '../../host/signature.ts';
import { lower } from './lower.ts';
import { encodeModel, type OnnxValue } from './onnx.ts';
import { Runtime, type Session } from './runtime.ts';
import { WeightFiles } from './weights.ts';
import type { OrtType, SessionOptions, SharedTensor } from './worker.ts';

export interface CpuOptions {
  /** Threads that compute; by default the machine's physical cores. */
  readonly threads?: number;
  /** Where ONNX Runtime writes a profile of every session when it is let go of; a path's beginning. */
  readonly profile?: string;
  /** Bytes that rearranged copies of frozen weights may take, for speed; by default 256 MiB. */
  readonly packBytes?: number;
  readonly session?: Partial<SessionOptions>;
}

const PACK_BYTES = 256 * 2 ** 20;

const ortTypes: Readonly<Record<DType, OrtType>> = { f32: 'float32', i32: 'int32', bool: 'bool' };
const share = (name: string, shape: Shape, dtype: DType): SharedTensor => ({
  name,
  type: ortTypes[dtype],
  dims: shape,
  buffer: new SharedArrayBuffer(bytesOf({ shape, dtype })),
});
const viewOf = ({ type, buffer }: SharedTensor): Float32Array | Int32Array | Uint8Array =>
  type === 'float32'
    ? new Float32Array(buffer)
    : type === 'int32'
      ? new Int32Array(buffer)
      : new Uint8Array(buffer);

/** ONNX Runtime on the processor: the default where there is no GPU. Throws UserError at the first compile if onnxruntime-node cannot be loaded. */
export function cpu(options: CpuOptions = {}): Backend {
  let runtime: Runtime | undefined;
  return {
    name: 'cpu',
    compile: async (graph, compileOptions = {}) => {
      runtime ??= new Runtime();
      return compileOn(runtime, graph, compileOptions, options);
    },
  };
}

async function compileOn(
  runtime: Runtime,
  graph: Graph,
  { weights = new Map(), state = {} }: CompileOptions,
  { threads, profile, packBytes = PACK_BYTES, session = {} }: CpuOptions,
): Promise<Executable> {
  const signature = signatureOf(graph);
  takeWeights(signature, weights);
  const initial = Object.entries(state).map(
    ([name, value]) => [name, takeState(signature, name, value)] as const,
  );
  const folder = mkdtempSync(join(tmpdir(), 'sdft-'));
  let loaded: Session;
  let values: { inputs: readonly OnnxValue[]; outputs: readonly OnnxValue[] };
  try {
    const files = new WeightFiles(folder, weights);
    const model = lower(graph, files, packBytes);
    files.close();
    const path = join(folder, 'model.onnx');
    writeFileSync(path, encodeModel(model));
    values = model;
    loaded = await runtime.create(path, {
      prepacking: true,
      memoryPattern: false,
      arena: true,
      ...(threads === undefined ? {} : { threads }),
      ...(profile === undefined ? {} : { profile }),
      ...session,
    });
  } finally {
    // What is mapped stays mapped; the folder has served.
    rmSync(folder, { recursive: true, force: true });
  }

  const shared = (list: readonly OnnxValue[]) =>
    new Map(list.map(({ name, type, shape }) => [name, share(name, shape, type as DType)]));
  const feeds = shared(values.inputs);
  const fetches = shared(values.outputs);
  // The model holds only what its results need; states live on without it.
  const states = new Map(
    [...signature.states].map(([name, { shape, dtype }]) => [
      name,
      feeds.get(`in:${name}`) ?? share(`in:${name}`, shape, dtype),
    ]),
  );
  for (const [name, data] of initial) viewOf(states.get(name)!).set(data);
  const get = (tensor: SharedTensor): HostArray => hostArray(viewOf(tensor).slice(), tensor.dims);
  /** A state and its next value change places: what was written becomes what is read. */
  const swap = (name: string): void => {
    const old = states.get(name)!;
    const next = fetches.get(`next:${name}`);
    if (!next) throw internal(`no next value for ${name}`);
    const current = { ...old, buffer: next.buffer };
    states.set(name, current);
    if (feeds.has(old.name)) feeds.set(old.name, current);
    fetches.set(next.name, { ...next, buffer: old.buffer });
  };

  return {
    memory: planMemory(graph),
    run: async (inputs = {}) => {
      for (const [name, data] of takeInputs(signature, inputs)) {
        const feed = feeds.get(`in:${name}`);
        if (feed) viewOf(feed).set(data);
      }
      await loaded.run([...feeds.values()], [...fetches.values()]);
      for (const name of Object.keys(graph.updates)) swap(name);
      return Object.fromEntries(
        [...fetches]
          .filter(([name]) => name.startsWith('out:'))
          .map(([name, tensor]) => [name.slice(4), get(tensor)]),
      );
    },
    read: async (name) => {
      typeOfState(signature, name);
      return get(states.get(name)!);
    },
    write: async (name, value) => {
      const data = takeState(signature, name, value);
      viewOf(states.get(name)!).set(data);
    },
    dispose: () => loaded.release(),
  };
}
