/** @file What was learned, as the tensors of a file. */
import { fromFloat32, readFloat32, viewWeight, weightOf } from '@sdft/models';
import { UserError, type Weight } from '@sdft/tensor';
import { algorithms } from '../algorithms/algorithms.ts';
import { adapterConfig, adapterMetadataEntry } from './adapterMetadata.ts';
import { kohyaName } from './layerNames.ts';
import { isAlgorithm, type LearnedLayer, rankOf, shapesIn } from './network.ts';

/**
 * Layouts of files. `kohya` has LyCORIS' algorithms too. `peft` calls factors lora_A and lora_B; `diffusers` writes attention layers as diffusers' DreamBooth script does
 * (`lora.down`, `lora_linear_layer.down`), and everything as `peft` where that script has no names.
 */
export type NetworkFormat = 'kohya' | 'peft' | 'diffusers';

/** Layers by path. */
export type Layers = ReadonlyMap<string, LearnedLayer>;

/** f32 numbers. */
export const floats = (values: Float32Array, shape: readonly number[]): Weight =>
  weightOf('f32', shape, fromFloat32(values, 'f32'));

const scalar = (value: number): Weight => floats(Float32Array.of(value), []);

/** The tensors of a file in kohya's layout: alpha is what makes alpha / rank the scale. */
export function kohyaTensors(layers: Layers): Map<string, Weight> {
  const file = new Map<string, Weight>();
  for (const [path, given] of layers) {
    // Where there is no rank, readers take the scale for 1.
    const layer = rankOf(given) === undefined ? whole(given) : given;
    const name = kohyaName(path);
    for (const [part, weight] of Object.entries(layer.tensors))
      file.set(`${name}.${part.startsWith('lora_') ? `${part}.weight` : part}`, weight);
    if (isAlgorithm(layer.algorithm))
      file.set(`${name}.alpha`, scalar(layer.scale * (rankOf(layer) ?? anyRank(layer))));
    if (layer.algorithm === 'ia3') file.set(`${name}.on_input`, scalar(layer.onInput ? 1 : 0));
  }
  return file;
}

/** Readers of LyCORIS' files want an alpha even where there is no rank. */
const anyRank = ({ tensors }: LearnedLayer): number => {
  const [first] = Object.values(tensors);
  return first!.shape[0]!;
};

/** Whether PEFT's layout can hold layers: LoRA and DoRA, without a core. */
export const isPlain = (layers: Layers): boolean =>
  [...layers.values()].every(
    ({ algorithm, tensors }) => algorithm === 'lora' && !('lora_mid' in tensors),
  );

const scriptNames: readonly (readonly [RegExp, string])[] = [
  [/^unet\..*\.to_(q|k|v|out\.0)$/, 'lora'],
  [/^text_encoder\..*\.(q|k|v|out)_proj$/, 'lora_linear_layer'],
];

/**
 * The tensors of a file in PEFT's layout or diffusers'.
 *
 * @throws UserError where something has no place in it
 */
export function peftTensors(
  layers: Layers,
  format: 'peft' | 'diffusers',
  where: string,
): Map<string, Weight> {
  if (!isPlain(layers)) {
    const [path, { algorithm }] = [...layers].find(
      ([, layer]) => layer.algorithm !== 'lora' || 'lora_mid' in layer.tensors,
    )!;
    throw new UserError(
      `${where}: ${algorithm} at ${path} has no place in diffusers' layout, which holds LoRA and DoRA; write it in kohya's (--format kohya)`,
    );
  }
  const file = new Map<string, Weight>();
  const scripted =
    format === 'diffusers' &&
    [...layers].every(
      ([path, { tensors }]) =>
        !('dora_scale' in tensors) && scriptNames.some(([names]) => names.test(path)),
    );
  for (const [path, { tensors }] of layers) {
    const word = scripted ? scriptNames.find(([names]) => names.test(path))![1] : undefined;
    file.set(`${path}.${word ? `${word}.down` : 'lora_A'}.weight`, tensors['lora_down']!);
    file.set(`${path}.${word ? `${word}.up` : 'lora_B'}.weight`, tensors['lora_up']!);
    const magnitude = tensors['dora_scale'];
    if (magnitude) file.set(`${path}.lora_magnitude_vector`, peftMagnitude(magnitude));
  }
  return file;
}

/** PEFT has [out] for linear layers and [1, out, 1, 1] for convolutions. */
const peftMagnitude = (weight: Weight): Weight => {
  const [out, ...rest] = weight.shape;
  return viewWeight(weight, rest.length > 1 ? [1, out!, 1, 1] : [out!]);
};

/** `lora_adapter_metadata` of these layers, which tells readers alpha. */
export function peftMetadata(layers: Layers, rsLora: boolean): Record<string, string> {
  const roots = new Map<string, Map<string, { rank: number; alpha: number }>>();
  let dora = false;
  for (const [path, layer] of layers) {
    const [root = ''] = path.split('.', 1);
    const rank = rankOf(layer)!;
    const alpha = layer.scale * (rsLora ? Math.sqrt(rank) : rank);
    roots.set(
      root,
      (roots.get(root) ?? new Map()).set(path.slice(root.length + 1), { rank, alpha }),
    );
    dora ||= 'dora_scale' in layer.tensors;
  }
  return adapterMetadataEntry(
    Object.fromEntries(
      [...roots].map(([root, own]) => [root, adapterConfig(own, { dora, rsLora })]),
    ),
  );
}

/** The same function with scale 1: the scale is multiplied into a factor, so that readers that know no alpha agree. Layers with scale 1 stay as they are. */
export function withoutScale(layers: Layers): Layers {
  return new Map([...layers].map(([path, layer]) => [path, whole(layer)]));
}

const whole = (layer: LearnedLayer): LearnedLayer =>
  layer.scale === 1 ? layer : { ...layer, tensors: timesScale(layer, layer.scale), scale: 1 };

/** The tensors of a layer whose change is `factor` times as large. */
export function timesScale(layer: LearnedLayer, factor: number): LearnedLayer['tensors'] {
  if (factor === 1 || !isAlgorithm(layer.algorithm)) return layer.tensors;
  const name = algorithms[layer.algorithm].outer(shapesIn(layer.tensors));
  const weight = layer.tensors[name]!;
  const values = readFloat32(weight).map((value) => value * factor);
  return { ...layer.tensors, [name]: floats(values, weight.shape) };
}
