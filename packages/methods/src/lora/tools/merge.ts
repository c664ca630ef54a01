/** @file What was learned, added into the weights of a base. */
import {
  castWeight,
  clipTextLayers,
  type FloatType,
  unetLayers,
  weightOf,
  fromFloat32,
  readFloat32,
} from '@sdft/models';
import type { Base, Layer } from '@sdft/pipeline';
import {
  type Backend,
  type Executable,
  type Graph,
  hostArray,
  type HostArray,
  trace,
  type Weight,
} from '@sdft/tensor';
import { type Change, changedParameters } from '../change.ts';
import { readLayer } from '../files/loraFiles.ts';
import type { Network } from '../files/network.ts';
import { readNetwork } from '../files/readNetwork.ts';
import { changesIn } from '../loraKind.ts';

/** A file of the LoRA family, and how much of it counts. */
export interface Merged {
  readonly file: string;
  /** Default 1. */
  readonly strength?: number | undefined;
}

interface Opened {
  readonly file: string;
  readonly strength: number;
  readonly network: Network;
  readonly changes: ReadonlyMap<string, Change>;
}

/**
 * The weights of a base with files of the LoRA family added into them, in the order in which they are given: W + strength alpha / rank up down for LoRA, and what `generate` makes of
 * every other algorithm. Layers that no file changes stay as they lie in their files. Equal to diffusers' `fuse_lora` and kohya-ss/sd-scripts' `networks/merge_lora.py`.
 *
 * @param backend what computes the changed weights, in f32
 * @returns weights by path; the changed ones in memory, stored as the base has them
 * @throws UserError where a file is none of the family, or does not fit the base
 */
export async function mergeLora(
  base: Base,
  files: readonly Merged[],
  backend: Backend,
): Promise<Map<string, Weight>> {
  const opened: Opened[] = [];
  for (const { file, strength = 1 } of files) {
    const network = await readNetwork(file);
    opened.push({ file, strength, network, changes: changesIn(network, base, file) });
  }
  const weights = new Map(base.weights);
  const compiled = new Compiled(backend);
  try {
    for (const layer of [...unetLayers(base.unet), ...clipTextLayers(base.textEncoder)]) {
      const here = opened.filter(({ changes }) => changes.has(layer.path));
      if (here.length === 0) continue;
      const changed = await changedWeights(base, layer, here, compiled);
      for (const [name, value] of changed) {
        const path = `${layer.path}.${name}`;
        const { dtype } = weights.get(path)!;
        const f32 = weightOf('f32', value.shape, fromFloat32(value.data as Float32Array, 'f32'));
        // Narrowed now, so that what is kept is no larger than the base.
        const stored = castWeight(f32, dtype as FloatType, path);
        weights.set(path, weightOf(stored.dtype, stored.shape, stored.read()));
      }
    }
  } finally {
    await compiled.end();
  }
  return weights;
}

/** One graph after the other. Each is let go of only when the next is there: a backend without graphs lets its thread go. */
class Compiled {
  readonly #backend: Backend;
  #last: Executable | undefined;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  async run(
    graph: Graph,
    inputs: Readonly<Record<string, HostArray>>,
  ): Promise<Record<string, HostArray>> {
    const executable = await this.#backend.compile(graph);
    await this.end();
    this.#last = executable;
    return executable.run(inputs);
  }

  async end(): Promise<void> {
    const last = this.#last;
    this.#last = undefined;
    await last?.dispose();
  }
}

/** The parameters of a layer that files change, one file after the other. */
async function changedWeights(
  base: Base,
  layer: Pick<Layer, 'path' | 'parameters'>,
  opened: readonly Opened[],
  compiled: Compiled,
): Promise<ReadonlyMap<string, HostArray>> {
  const { path } = layer;
  const inputs: Record<string, HostArray> = {};
  const graph = trace((t) => {
    const input = (name: string, value: HostArray) => {
      inputs[name] = value;
      return t.input(name, value.shape);
    };
    const present = Object.fromEntries(
      Object.entries(layer.parameters).map(([name, shape]) => {
        const frozen = base.weights.get(`${path}.${name}`)!;
        return [name, input(name, hostArray(readFloat32(frozen), shape) as HostArray)];
      }),
    );
    const changed = new Set<string>();
    for (const [i, { file, strength, network, changes }] of opened.entries()) {
      const change = changes.get(path)!;
      const shapes = Object.fromEntries(
        Object.entries(change.trained).map(([name, { shape }]) => [name, shape]),
      );
      const values = readLayer(network.layers.get(path)!, shapes, `${file}: ${path}`);
      const trained = Object.fromEntries(
        Object.entries(values).map(([name, value]) => [name, input(`${i}.${name}`, value)]),
      );
      const amount = hostArray(Float32Array.of(strength), []) as HostArray;
      const more = changedParameters(
        { parameters: layer.parameters, parameter: (name) => present[name]! },
        change,
        trained,
        input(`${i} strength`, amount),
      );
      for (const [name, value] of Object.entries(more)) {
        present[name] = value;
        changed.add(name);
      }
    }
    return { outputs: Object.fromEntries([...changed].map((name) => [name, present[name]!])) };
  });
  return new Map(Object.entries(await compiled.run(graph, inputs)));
}
