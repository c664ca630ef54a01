/** @file Files of the LoRA family, read: every layout is told by its keys. */
import { findNonFinite, readFloat32, viewWeight } from '@sdft/models';
import { openTensorFile } from '@sdft/models/node';
import { UserError, type Weight } from '@sdft/tensor';
import { product } from '../algorithms/algorithm.ts';
import { adapterMetadata, scaleIn } from './adapterMetadata.ts';
import { floats } from './writeNetwork.ts';
import { pathOfKohya, pathOfPeft } from './layerNames.ts';
import { type LayerTensors, type LearnedLayer, type Network, rankOf } from './network.ts';

/** Endings of kohya's and LyCORIS' keys, and what we call them. */
const kohyaParts: Readonly<Record<string, string>> = {
  ...{
    'lora_down.weight': 'lora_down',
    'lora_up.weight': 'lora_up',
    'lora_mid.weight': 'lora_mid',
  },
  ...same('hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b', 'hada_t1', 'hada_t2'),
  ...same('lokr_w1', 'lokr_w1_a', 'lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b', 'lokr_t2'),
  ...same('alpha', 'dora_scale', 'diff', 'diff_b', 'w_norm', 'b_norm', 'weight', 'on_input'),
};

/** Endings of diffusers' and PEFT's keys, from the newest to the oldest, and what we call them; '' where they have our names. The name of an adapter may stand inside. */
const peftParts: readonly (readonly [RegExp, string])[] = [
  [/\.lora_A(\.[^.]+)?\.weight$/, 'lora_down'],
  [/\.lora_B(\.[^.]+)?\.weight$/, 'lora_up'],
  [/\.lora_magnitude_vector(\.[^.]+)?(\.weight)?$/, 'dora_scale'],
  [/\.lora(_linear_layer)?\.down\.weight$/, 'lora_down'],
  [/\.lora(_linear_layer)?\.up\.weight$/, 'lora_up'],
  [/\.ia3_l(\.[^.]+)?$/, 'ia3_l'],
  [/_lora\.down\.weight$/, 'lora_down'],
  [/_lora\.up\.weight$/, 'lora_up'],
  [/\.(?:alpha|hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2))$/, ''],
];

/** Endings of algorithms that are not known here. */
const foreign: readonly (readonly [RegExp, string])[] = [
  [/\.(oft_blocks|oft_diag|rescale)$/, 'OFT'],
  [/\.(a1|a2|b1|b2|bm)\.weight$/, 'GLoRA'],
  [/^(unet|text_encoder):\d+:(up|down)$/, "LoRA in cloneofsimo's layout"],
];

/**
 * Reads a file of the LoRA family: kohya's layout with LyCORIS' algorithms, PEFT's, and the older ones of diffusers; safetensors or PyTorch's. Nothing is executed.
 *
 * @throws UserError naming the file, and the key where one is not known or a layer's tensors are not whole
 */
export async function readNetwork(path: string): Promise<Network> {
  const { tensors, metadata } = await openTensorFile(path);
  const layers = new Map<string, Record<string, Weight>>();
  const layouts = new Set<Network['layout']>();
  const unknown: string[] = [];
  for (const [key, weight] of tensors) {
    const found = kohyaKey(key) ?? peftKey(key);
    if (!found) {
      unknown.push(key);
      continue;
    }
    layouts.add(found.layout);
    layers.set(found.path, { ...layers.get(found.path), [found.part]: weight });
  }
  if (unknown.length > 0) throw notKnown(path, unknown, layers.size);
  if (layers.size === 0) throw new UserError(`${path}: holds no tensor, so no LoRA`);
  const [broken] = findNonFinite(tensors);
  if (broken)
    throw new UserError(
      `${path}: ${broken.name} holds ${broken.count} numbers that are not finite`,
    );
  const configs = adapterMetadata(metadata, path);
  return {
    layout: layouts.has('peft') ? 'peft' : 'kohya',
    metadata,
    layers: new Map(
      [...layers].map(([layer, parts]) => {
        const own = layouts.has('peft') ? withRows(parts) : parts;
        const learned = learnedLayer(own, `${path}: ${layer}`);
        const scale = learned.scale ?? scaleIn(configs, layer, rankOf(learned)) ?? 1;
        return [layer, { ...learned, scale }];
      }),
    ),
  };
}

interface Key {
  readonly layout: Network['layout'];
  readonly path: string;
  readonly part: string;
}

function kohyaKey(key: string): Key | undefined {
  const dot = key.indexOf('.');
  const ending = key.slice(dot + 1);
  const part = Object.hasOwn(kohyaParts, ending) ? kohyaParts[ending] : undefined;
  const path = pathOfKohya(key.slice(0, dot));
  return path !== undefined && part !== undefined ? { layout: 'kohya', path, part } : undefined;
}

function peftKey(key: string): Key | undefined {
  if (/^(lora|lycoris)_|^text_encoder_2\.|^transformer\./.test(key)) return undefined;
  for (const [ending, part] of peftParts) {
    const found = ending.exec(key)?.[0];
    if (found === undefined) continue;
    // The oldest form has `to_out_lora`, though the layer is `to_out.0`.
    const name = key.replace(ending, '').replace(/\.to_out$/, '.to_out.0');
    return { layout: 'peft', path: pathOfPeft(name), part: part || found.slice(1) };
  }
  return undefined;
}

/** PEFT's lengths of rows, [out] or [1, out, 1, 1], as ours: [out, 1, ...]. */
function withRows(parts: Readonly<Record<string, Weight>>): Readonly<Record<string, Weight>> {
  const { dora_scale: lengths, lora_up: up } = parts;
  if (!lengths || !up) return parts;
  const ones = up.shape.slice(2).map(() => 1);
  return { ...parts, dora_scale: viewWeight(lengths, [product(lengths.shape), 1, ...ones]) };
}

/** Whether a tensor's name is one of this family. */
export const isNetworkKey = (key: string): boolean =>
  kohyaKey(key) !== undefined ||
  /^(lora|lycoris)_|\.(lora_[AB]|lora_magnitude_vector|hada_w1_a|lokr_w[12](_a)?|ia3_l)(\.|$)|\blora(_linear_layer)?\.(down|up)\./.test(
    key,
  );

/** What one layer's tensors are; its scale, where they tell it. Throws UserError where they are not whole. */
function learnedLayer(
  parts: Readonly<Record<string, Weight>>,
  where: string,
): Omit<LearnedLayer, 'scale'> & { readonly scale: number | undefined } {
  const { alpha, on_input: onInput, ...tensors } = parts;
  const has = (...names: readonly string[]): boolean => names.every((name) => name in tensors);
  const algorithm = has('lora_down', 'lora_up')
    ? 'lora'
    : has('hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b')
      ? 'loha'
      : (has('lokr_w1') || has('lokr_w1_a', 'lokr_w1_b')) &&
          (has('lokr_w2') || has('lokr_w2_a', 'lokr_w2_b'))
        ? 'lokr'
        : has('weight') || has('ia3_l')
          ? 'ia3'
          : has('diff')
            ? 'full'
            : has('w_norm')
              ? 'norm'
              : undefined;
  if (!algorithm)
    throw new UserError(
      `${where} has ${Object.keys(parts).join(', ')}, which is no whole change of a layer; is the file cut short?`,
    );
  if (tensors['ia3_l']) return peftFactors(tensors['ia3_l']);
  const rank = rankOf({ algorithm, tensors });
  const known = alpha === undefined ? undefined : numberIn(alpha, `${where}.alpha`);
  return {
    algorithm,
    tensors: tensors as LayerTensors,
    ...(onInput && { onInput: numberIn(onInput, `${where}.on_input`) === 1 }),
    // Where there is no rank, LyCORIS writes an alpha that means 1.
    scale: known === undefined ? undefined : rank === undefined ? 1 : known / rank,
  };
}

/** PEFT's IA3 holds the factors themselves, [1, in] or [out, 1], and scales whole outputs. */
function peftFactors(weight: Weight): LearnedLayer {
  const values = readFloat32(weight).map((factor) => factor - 1);
  return {
    algorithm: 'ia3',
    scale: 1,
    tensors: { weight: floats(values, [values.length]) },
    onInput: weight.shape[0] === 1,
    withBias: true,
  };
}

function numberIn(weight: Weight, where: string): number {
  const [value, ...more] = readFloat32(weight);
  if (value === undefined || more.length > 0 || !Number.isFinite(value))
    throw new UserError(`${where} must be one number, and is [${weight.shape.join(', ')}]`);
  return value;
}

function notKnown(path: string, keys: readonly string[], layers: number): UserError {
  const [first] = keys;
  const count = keys.length === 1 ? '' : ` and ${keys.length - 1} more`;
  const some = (pattern: RegExp): boolean => keys.some((key) => pattern.test(key));
  if (some(/^(lora|lycoris)_te2_|^text_encoder_2\.|^lora_unet_(input|output|middle)_block/))
    return new UserError(
      `${path}: is for Stable Diffusion XL (${first}${count}); bases here are Stable Diffusion 1 and 2`,
    );
  if (some(/^transformer\.|_double_blocks_|_joint_blocks_|_single_blocks_/))
    return new UserError(
      `${path}: is for a diffusion transformer, such as SD3 or FLUX (${first}${count}); bases here are Stable Diffusion 1 and 2`,
    );
  const other = foreign.find(([ending]) => some(ending));
  if (other)
    return new UserError(
      `${path}: ${first}${count} belong to ${other[1]}, which is not known here; LoRA, DoRA, LoHa, LoKr, IA3, whole matrices and norms are`,
    );
  return new UserError(
    layers === 0
      ? `${path}: is no file of the LoRA family: its tensors are called ${keys.slice(0, 3).join(', ')}${keys.length > 3 ? ', ...' : ''}`
      : `${path}: holds ${first}${count}, which is no part of a LoRA that is known here`,
  );
}

function same(...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, name]));
}
