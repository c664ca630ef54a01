import { UserError, type Weight } from '@sdft/tensor';
import { viewWeight } from './byteSource.ts';
import { openClipKey, textKey } from './keys/textKeys.ts';
import { unetKeyMap, unetLayoutOf } from './keys/unetKeys.ts';
import { diffusersVaeKey, vaeKeyMap, vaeLayoutOf } from './keys/vaeKeys.ts';

const unetPrefix = 'model.diffusion_model.';
const vaePrefix = 'first_stage_model.';
const clipPrefix = 'cond_stage_model.transformer.';
const openClipPrefix = 'cond_stage_model.model.';

/**
 * Translates the tensors of a single-file checkpoint (CompVis' layout of SD1, Stability's of SD2) to our paths. Query, key and value of an
 * OpenCLIP encoder become three views of the same bytes. Training leftovers are dropped; unknown U-Net tensors are kept, so that they are noticed.
 *
 * @param tensors by their names in the file
 * @param where the file, for messages
 * @param emaWeights take the U-Net's running averages in place of its weights
 * @throws UserError where the file is no such checkpoint: it says what it is, if that can be told
 */
export function fromSingleFile(
  tensors: ReadonlyMap<string, Weight>,
  where: string,
  emaWeights = false,
): { weights: Map<string, Weight>; openClip: boolean } {
  refuseOthers([...tensors.keys()], where);
  const weights = new Map<string, Weight>();

  const unet = below(tensors, unetPrefix);
  const unetKeys = unetKeyMap(unetLayoutOf(unet.keys()));
  for (const [key, weight] of unet) {
    weights.set(
      `unet.${unetKeys.fromLdm(key) ?? key}`,
      emaWeights ? emaOf(tensors, key, where) : weight,
    );
  }

  for (const [path, weight] of vaeFromSingleFile(below(tensors, vaePrefix)))
    weights.set(path, weight);

  const openClip = [...tensors.keys()].some((key) => key.startsWith(openClipPrefix));
  for (const [key, weight] of below(tensors, openClip ? openClipPrefix : clipPrefix)) {
    if (!openClip) {
      const path = textKey(key);
      if (path !== undefined) weights.set(`text_encoder.${path}`, weight);
      continue;
    }
    const target = openClipKey(key);
    if (target?.kind === 'one') weights.set(`text_encoder.${target.path}`, weight);
    if (target?.kind === 'fused')
      splitRows(weight, target.paths, where, key).forEach((part, i) =>
        weights.set(`text_encoder.${target.paths[i]}`, part),
      );
  }
  return { weights, openClip };
}

/**
 * Translates the tensors of a VAE that stands alone: in the single-file layout with or without `first_stage_model.`, or under diffusers' names.
 *
 * @returns tensors below `vae.`; what does not belong to a VAE is dropped
 */
export function vaeFromSingleFile(tensors: ReadonlyMap<string, Weight>): Map<string, Weight> {
  const inner = below(tensors, vaePrefix);
  const found = inner.size > 0 ? inner : tensors;
  const keys = vaeKeyMap(vaeLayoutOf(found.keys()));
  const diffusers = [...found.keys()].some((key) => key.startsWith('encoder.down_blocks.'));
  const weights = new Map<string, Weight>();
  for (const [key, weight] of found) {
    const path = diffusers ? diffusersVaeKey(key) : keys.fromLdm(key);
    if (path !== undefined) weights.set(`vae.${path}`, weight);
  }
  return weights;
}

/**
 * Drops the layers of a text encoder whose states are not used.
 *
 * @param layers how many stay
 */
export function dropTextLayers(weights: Map<string, Weight>, layers: number): void {
  for (const path of [...weights.keys()]) {
    const match = /^text_encoder\.text_model\.encoder\.layers\.(\d+)\./.exec(path);
    if (match && Number(match[1]) >= layers) weights.delete(path);
  }
}

function below(tensors: ReadonlyMap<string, Weight>, prefix: string): Map<string, Weight> {
  const found = new Map<string, Weight>();
  for (const [key, weight] of tensors) {
    if (key.startsWith(prefix)) found.set(key.slice(prefix.length), weight);
  }
  return found;
}

/** Lightning's EMA callback keeps each average under the weight's name without dots. Source: CompVis `ldm/modules/ema.py`. */
function emaOf(tensors: ReadonlyMap<string, Weight>, key: string, where: string): Weight {
  const name = `model_ema.diffusion_model${key.replaceAll('.', '')}`;
  const weight = tensors.get(name);
  if (!weight)
    throw new UserError(
      `${where}: has no running average (EMA) of ${unetPrefix}${key}: ${name} is missing; run without --ema-weights`,
    );
  return weight;
}

function splitRows(weight: Weight, paths: readonly string[], where: string, key: string): Weight[] {
  const [rows = 0, ...rest] = weight.shape;
  if (rows % paths.length !== 0) {
    throw new UserError(
      `${where}: tensor ${openClipPrefix}${key} has ${rows} rows, which do not divide into query, key and value`,
    );
  }
  const part = [rows / paths.length, ...rest];
  const size = part.reduce((product, n) => product * n, 1);
  return paths.map((_, i) => viewWeight(weight, part, i * size));
}

function refuseOthers(keys: readonly string[], where: string): void {
  const some = (prefix: string): boolean => keys.some((key) => key.startsWith(prefix));
  const refuse = (what: string, then: string): UserError =>
    new UserError(`${where}: is ${what}, not a Stable Diffusion 1 or 2 checkpoint${then}`);
  if (some('conditioner.embedders.')) throw refuse('an SDXL checkpoint', '; SDXL is not supported');
  if (some('control_model.')) throw refuse('a ControlNet', '');
  if (some(`${unetPrefix}joint_blocks.`) || some(`${unetPrefix}double_blocks.`))
    throw refuse('a checkpoint of a transformer model (SD3 or FLUX)', '');
  if (some(`${unetPrefix}input_blocks.`)) {
    if (!some(clipPrefix) && !some(openClipPrefix))
      throw refuse('a U-Net without its text encoder (cond_stage_model.*)', '');
    if (!some(vaePrefix))
      throw refuse('a U-Net and text encoder without their VAE (first_stage_model.*)', '');
    return;
  }
  if (some('lora_') || keys.some((key) => key.includes('.lora')))
    throw refuse(
      'a LoRA',
      '; name the checkpoint that it was trained on, and give this file as --lora',
    );
  if (some(vaePrefix) || some('encoder.down'))
    throw refuse('a VAE alone', '; name a checkpoint, and give this file as --vae');
  if (some('down_blocks.'))
    throw refuse(
      "a U-Net alone, under diffusers' names",
      '; name the folder that holds model_index.json',
    );
  if (some('text_model.'))
    throw refuse('a text encoder alone', '; name the folder that holds model_index.json');
  throw refuse(
    'something else',
    `: it has no tensor below ${unetPrefix}, but ${keys.slice(0, 3).join(', ') || 'none at all'}`,
  );
}
