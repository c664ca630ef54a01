/** @file The cpu backend: a graph becomes one ONNX model, which ONNX Runtime runs in a thread of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Backend, CompileOptions, Executable, HostArray } from '../../backend.ts';
import { internal, UserError } from '../../errors.ts';
import { bytesOf } from '../../graph/rules.ts';
import { type DType, type Graph, type Shape, showShape } from '../../graph/types.ts';
import { copyInto, hostArray } from '../../host/array.ts';
import { lower } from './lower.ts';
import { encodeModel, type OnnxValue } from './onnx.ts';
import { Runtime } from './runtime.ts';
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
  const folder = mkdtempSync(join(tmpdir(), 'sdft-'));
  let handle: number;
  let values: { inputs: readonly OnnxValue[]; outputs: readonly OnnxValue[] };
  try {
    const files = new WeightFiles(folder, weights);
    const model = lower(graph, files, packBytes);
    files.close();
    const path = join(folder, 'model.onnx');
    writeFileSync(path, encodeModel(model));
    values = model;
    handle = await runtime.create(path, {
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

  const stateNames = new Set(
    graph.nodes.flatMap((node) =>
      node.op === 'input' && node.attrs.state ? [node.attrs.name] : [],
    ),
  );
  const shared = (list: readonly OnnxValue[]) =>
    new Map(list.map(({ name, type, shape }) => [name, share(name, shape, type as DType)]));
  const feeds = shared(values.inputs);
  const fetches = shared(values.outputs);
  const feedOf = (name: string): SharedTensor | undefined => feeds.get(`in:${name}`);
  const callInputs = [...feeds.keys()]
    .map((name) => name.slice(3))
    .filter((name) => !stateNames.has(name));

  const put = (name: string, value: HostArray): void => {
    const feed = feedOf(name);
    if (!feed)
      throw new UserError(
        `the graph has no input called ${name}; it has ${[...feeds.keys()].map((n) => n.slice(3)).join(', ')}`,
      );
    copyInto(viewOf(feed), feed.dims, value, name);
  };
  const get = (tensor: SharedTensor): HostArray => hostArray(viewOf(tensor).slice(), tensor.dims);
  for (const [name, value] of Object.entries(state)) if (feedOf(name)) put(name, value);
  const kept = new Map<string, HostArray>(Object.entries(state));

  return {
    memory: { weights: 0, state: 0, activations: 0, total: 0 },
    run: async (inputs = {}) => {
      for (const name of Object.keys(inputs))
        if (
          !callInputs.includes(name) &&
          !graph.nodes.some((n) => n.op === 'input' && n.attrs.name === name)
        )
          put(name, inputs[name]!);
      for (const name of callInputs) {
        const value = inputs[name];
        if (!value)
          throw new UserError(`input ${name} ${showShape(feedOf(name)!.dims)} is missing`);
        put(name, value);
      }
      await runtime.run(handle, [...feeds.values()], [...fetches.values()]);
      for (const name of Object.keys(graph.updates)) swap(feeds, fetches, name);
      return Object.fromEntries(
        [...fetches]
          .filter(([name]) => name.startsWith('out:'))
          .map(([name, tensor]) => [name.slice(4), get(tensor)]),
      );
    },
    read: async (name) => {
      const feed = feedOf(name);
      if (feed && stateNames.has(name)) return get(feed);
      const value = kept.get(name);
      if (!value || !stateNames.has(name))
        throw new UserError(`the graph has no state called ${name}`);
      return value;
    },
    write: async (name, value) => {
      if (!stateNames.has(name)) throw new UserError(`the graph has no state called ${name}`);
      if (feedOf(name)) put(name, value);
      else kept.set(name, value);
    },
    dispose: () => runtime.release(handle),
  };
}

/** A state and its next value change places: what was written becomes what is read. */
function swap(
  feeds: Map<string, SharedTensor>,
  fetches: Map<string, SharedTensor>,
  state: string,
): void {
  const feed = feeds.get(`in:${state}`);
  const fetch = fetches.get(`next:${state}`);
  if (!fetch) throw internal(`no next value for ${state}`);
  if (!feed) return;
  feeds.set(`in:${state}`, { ...feed, buffer: fetch.buffer });
  fetches.set(`next:${state}`, { ...fetch, buffer: feed.buffer });
}
