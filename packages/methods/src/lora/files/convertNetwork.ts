/** @file From one layout of the LoRA family to another. */
import { castWeight, type FloatType } from '@sdft/models';
import { writeSafetensors } from '@sdft/models/node';
import { UserError, type Weight } from '@sdft/tensor';
import { product } from '../algorithms/algorithm.ts';
import { networkHashes } from './hashes.ts';
import { rankOf } from './network.ts';
import { readNetwork } from './readNetwork.ts';
import {
  kohyaTensors,
  type Layers,
  type NetworkFormat,
  peftTensors,
  withoutScale,
} from './writeNetwork.ts';

/** How a network is to be written. */
export interface WriteNetworkOptions {
  readonly format: NetworkFormat;
  /** What numbers are stored as. Default: as they are, or f32 where they are computed. */
  readonly dtype?: FloatType | undefined;
  readonly force?: boolean | undefined;
  /** What is known of it beside the tensors, by kohya's names; only kohya's layout has a place for it. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/**
 * Writes a file of the LoRA family in another layout, which does the same. In kohya's, alpha tells the scale; in diffusers' and PEFT's it is multiplied into a factor, so that alpha is
 * the rank for every reader.
 *
 * @throws UserError where the file is none of the family, or holds what the layout has no place for
 */
export async function convertNetwork(
  from: string,
  to: string,
  options: WriteNetworkOptions,
): Promise<void> {
  const { layers, metadata } = await readNetwork(from);
  const biased = [...layers].find(([, layer]) => layer.withBias && !layer.onInput);
  if (biased)
    throw new UserError(
      `${from}: PEFT's IA3 scales the bias of ${biased[0]} too, and LyCORIS' does not: there is no other layout for it`,
    );
  await writeNetwork(to, layers, { ...options, metadata });
}

/** Writes layers in a layout. Throws UserError where it has no place for one, or the file exists (without `force`). */
export async function writeNetwork(
  path: string,
  layers: Layers,
  { format, dtype, force = false, metadata = {} }: WriteNetworkOptions,
): Promise<void> {
  if (!/\.safetensors$/i.test(path))
    throw new UserError(`${path}: a LoRA is written as .safetensors`);
  if (format !== 'kohya') {
    const tensors = stored(peftTensors(withoutScale(layers), format, path), dtype);
    return writeSafetensors(path, tensors, { metadata: { format: 'pt' }, force });
  }
  const tensors = stored(kohyaTensors(layers), dtype);
  const training = { ...leastMetadata(layers), ...kohyasOwn(metadata) };
  const hashes = await networkHashes(tensors, training);
  return writeSafetensors(path, tensors, { metadata: { ...training, ...hashes }, force });
}

const stored = (tensors: ReadonlyMap<string, Weight>, dtype: FloatType | undefined) =>
  new Map(
    [...tensors].map(([name, weight]) => [name, dtype ? castWeight(weight, dtype, name) : weight]),
  );

/** What kohya's layout has at least, from the layers alone. */
function leastMetadata(layers: Layers): Record<string, string> {
  const [[, first] = []] = layers;
  const rank = first && rankOf(first);
  const key = [...layers].find(([path]) => path.endsWith('.attn2.to_k'))?.[1].tensors['lora_down'];
  const isV2 = key !== undefined && product(key.shape.slice(1)) === 1024;
  const algorithms = new Set([...layers.values()].map(({ algorithm }) => algorithm));
  const plain =
    [...algorithms].join() === 'lora' &&
    [...layers.values()].every(
      ({ tensors }) => !('lora_mid' in tensors) && !('dora_scale' in tensors),
    );
  return {
    ss_v2: isV2 ? 'True' : 'False',
    ss_base_model_version: isV2 ? 'sd_v2' : 'sd_v1',
    ss_network_module: plain ? 'networks.lora' : 'lycoris.kohya',
    ...(rank !== undefined && {
      ss_network_dim: String(rank),
      ss_network_alpha: String(first!.scale * rank),
    }),
    ss_network_args: plain ? '{}' : JSON.stringify({ algo: [...algorithms][0] }),
  };
}

/** Entries that another file's training left, hashes aside. */
const kohyasOwn = (metadata: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata).filter(([name]) => /^(ss_|modelspec\.)/.test(name)));
