/** @file Files of a run. */
import { readFloat32, unetLayers, clipTextLayers } from '@sdft/models';
import { writeSafetensors } from '@sdft/models/node';
import type { AboutFile, AdapterFiles, AdapterState, Parameters } from '@sdft/pipeline';
import {
  hostArray,
  type HostArray,
  internal,
  type Shape,
  UserError,
  type Weight,
} from '@sdft/tensor';
import { product } from '../algorithms/algorithm.ts';
import { algorithms } from '../algorithms/algorithms.ts';
import type { Plan } from '../plan.ts';
import { networkHashes } from './hashes.ts';
import { kohyaMetadata, lastPart } from './kohyaMetadata.ts';
import { isAlgorithm, type LearnedLayer, type Network } from './network.ts';
import { readNetwork } from './readNetwork.ts';
import {
  floats,
  isPlain,
  type Layers,
  kohyaTensors,
  peftMetadata,
  peftTensors,
  timesScale,
} from './writeNetwork.ts';

/**
 * Files of a LoRA or a relative: the flavour `kohya` writes kohya's layout with metadata and hashes, `diffusers` that of its DreamBooth script; LyCORIS' algorithms are always
 * written in kohya's. Every layout is read.
 */
export function loraFiles(plan: Plan, rsLora: boolean): AdapterFiles {
  return {
    endings: ['.safetensors'],
    async save(state, path, about) {
      if (!/\.safetensors$/i.test(path))
        throw new UserError(`${path}: what LoRA learns is written as .safetensors`);
      const layers = layersOf(state, plan, about);
      const { force } = about;
      if (plan.flavour === 'diffusers' && isPlain(layers)) {
        const tensors = peftTensors(layers, 'diffusers', path);
        const metadata = { format: 'pt', ...peftMetadata(layers, rsLora) };
        return writeSafetensors(path, tensors, { metadata, force });
      }
      const tensors = kohyaTensors(layers);
      const title = lastPart(path).replace(/\.[^.]+$/, '');
      const { recipe = {}, model, step } = about;
      const metadata = kohyaMetadata(plan, recipe, model!, step, title);
      const hashes = await networkHashes(tensors, metadata);
      return writeSafetensors(path, tensors, { metadata: { ...metadata, ...hashes }, force });
    },
    async load(path, shapes) {
      const network = await readNetwork(path);
      const extra = [...network.layers.keys()].find((layer) => !shapes.has(layer));
      if (extra !== undefined)
        throw new UserError(
          `${path}: changes ${extra}, which this run does not; say targets, and trainTextEncoder, as it was trained`,
        );
      return new Map(
        [...shapes].map(([layer, wanted]) => [layer, valuesAt(path, layer, wanted, network, plan)]),
      );
    },
  };
}

/** What a run has learned, with the scale of each layer. */
function layersOf(state: AdapterState, plan: Plan, { model }: AboutFile): Layers {
  if (!model) throw internal('a LoRA is saved without its base');
  const infos = [...unetLayers(model.unet), ...clipTextLayers(model.textEncoder)];
  const changes = new Map(infos.map((info) => [info.path, plan.changes(info)]));
  return new Map(
    [...state].map(([path, values]) => {
      const { algorithm, scale, onInput } = changes.get(path)!;
      const tensors = Object.fromEntries(
        Object.entries(values).map(([name, { data, shape }]): [string, Weight] => [
          name,
          floats(Float32Array.from(data), shape),
        ]),
      );
      return [path, { algorithm, scale, tensors, ...(onInput !== undefined && { onInput }) }];
    }),
  );
}

/** First values at a layer. Another scale than the run's is made up for, so that they do the same. */
function valuesAt(
  path: string,
  layer: string,
  wanted: Parameters<Shape>,
  { layers }: Network,
  plan: Plan,
): Parameters<HostArray> {
  const learned = layers.get(layer);
  if (!learned)
    throw new UserError(
      `${path}: has nothing for ${layer}, which this run trains; say targets as it was trained`,
    );
  const { algorithm } = learned;
  if (algorithm !== plan.algorithm)
    throw new UserError(
      `${path}: is ${algorithm} at ${layer}, this run trains ${plan.algorithm}; say algorithm: ${algorithm}`,
    );
  const scale = isAlgorithm(algorithm) ? plan.scale(layer, algorithms[algorithm].rank(wanted)) : 1;
  return readLayer(
    { ...learned, tensors: timesScale(learned, learned.scale / scale) },
    wanted,
    `${path}: ${layer}`,
  );
}

/**
 * The tensors of a layer as what is trained has them. A 1x1 convolution's may stand for a linear layer's.
 *
 * @throws UserError where they are other tensors, or of another size
 */
export function readLayer(
  { tensors, algorithm }: Pick<LearnedLayer, 'tensors' | 'algorithm'>,
  wanted: Parameters<Shape>,
  where: string,
): Parameters<HostArray> {
  const extra = Object.keys(tensors).find((name) => !(name in wanted));
  if (extra !== undefined)
    throw new UserError(`${where} has ${extra}, which this ${algorithm} has not`);
  return Object.fromEntries(
    Object.entries(wanted).map(([name, shape]) => {
      const weight = tensors[name];
      if (!weight) throw new UserError(`${where} has no ${name}, which this ${algorithm} needs`);
      if (product(weight.shape) !== product(shape))
        throw new UserError(
          `${where}.${name} is [${weight.shape.join(', ')}], this run needs [${shape.join(', ')}]; say rank as it was trained`,
        );
      return [name, hostArray(Float32Array.from(readFloat32(weight)), shape) as HostArray];
    }),
  );
}
