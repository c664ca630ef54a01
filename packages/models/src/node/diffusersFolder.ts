import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import {
  parseClipTextConfig,
  parseScheduleConfig,
  parseUNetConfig,
  parseVaeConfig,
} from '../checkpoint/configFile.ts';
import type { ModelConfigs } from '../checkpoint/family.ts';
import type { ScheduleConfig } from '../config.ts';
import { textKey } from '../checkpoint/keys/textKeys.ts';
import { diffusersVaeKey } from '../checkpoint/keys/vaeKeys.ts';
import { show } from '../checkpoint/show.ts';
import { readJson } from './settingsFiles.ts';
import { openTensorFile } from './tensorFile.ts';

/** Names of the files that hold a network's weights, without their endings. */
const stems = {
  unet: 'diffusion_pytorch_model',
  vae: 'diffusion_pytorch_model',
  text: 'model',
  textTorch: 'pytorch_model',
};

/**
 * Reads a folder in diffusers layout.
 *
 * @returns the tensors under our paths, not yet held against the configurations
 * @throws UserError where a part is missing or malformed, or the folder holds another kind of model
 */
export async function readDiffusersFolder(
  path: string,
  emaWeights: boolean,
): Promise<{ weights: Map<string, Weight>; configs: ModelConfigs; notes: string[] }> {
  refuseOthers(path);
  const notes: string[] = [];
  const unetFolder = emaWeights ? 'unet_ema' : 'unet';
  if (emaWeights && !existsSync(join(path, unetFolder))) {
    throw new UserError(
      `${path}: has no running averages (no folder unet_ema); run without --ema-weights`,
    );
  }
  const config = (name: string): [unknown, string] => {
    const file = join(path, name);
    if (!existsSync(file))
      throw new UserError(
        `${path}: is no Stable Diffusion model in diffusers layout: ${name} is missing`,
      );
    return [readJson(file), file];
  };
  const configs: ModelConfigs = {
    unet: parseUNetConfig(...config(`${unetFolder}/config.json`)),
    textEncoder: parseClipTextConfig(...config('text_encoder/config.json')),
    vae: parseVaeConfig(...config('vae/config.json')),
    schedule: parseScheduleConfig(...config('scheduler/scheduler_config.json')),
  };
  const lowRes = 'low_res_scheduler/scheduler_config.json';
  if (existsSync(join(path, lowRes)))
    checkLowRes(parseScheduleConfig(...config(lowRes)), configs.schedule, path);
  const weights = new Map<string, Weight>();
  for (const [key, weight] of await needPart(join(path, unetFolder), [stems.unet], notes))
    weights.set(`unet.${key}`, weight);
  for (const [key, weight] of await needPart(
    join(path, 'text_encoder'),
    [stems.text, stems.textTorch],
    notes,
  )) {
    const name = textKey(key);
    if (name !== undefined) weights.set(`text_encoder.${name}`, weight);
  }
  for (const [name, weight] of await readVaeFolder(join(path, 'vae'), notes))
    weights.set(name, weight);
  return { weights, configs, notes };
}

/** Throws UserError where small pictures get their noise by another schedule than latents. */
function checkLowRes(lowRes: ScheduleConfig, schedule: ScheduleConfig, path: string): void {
  for (const key of ['betaStart', 'betaEnd', 'betaSchedule', 'numTrainTimesteps'] as const)
    if (lowRes[key] !== schedule[key])
      throw new UserError(
        `${path}: low_res_scheduler has ${key} ${lowRes[key]}, scheduler ${schedule[key]}; only models with one schedule for both are supported`,
      );
}

/** Reads the tensors of a VAE folder in diffusers layout, below `vae.`. Throws UserError naming what is missing or malformed. */
export async function readVaeFolder(folder: string, notes: string[]): Promise<Map<string, Weight>> {
  const weights = new Map<string, Weight>();
  for (const [key, weight] of await needPart(folder, [stems.vae], notes)) {
    const name = diffusersVaeKey(key);
    if (name !== undefined) weights.set(`vae.${name}`, weight);
  }
  return weights;
}

function refuseOthers(path: string): void {
  const file = join(path, 'model_index.json');
  if (!existsSync(file)) return;
  const index = (readJson(file) ?? {}) as Record<string, unknown>;
  const pipeline = typeof index._class_name === 'string' ? index._class_name : '';
  if (
    /XL|StableDiffusion3|Flux|ControlNet|LatentUpscale|DeepFloyd|IFPipeline/.test(pipeline) ||
    'text_encoder_2' in index
  ) {
    throw new UserError(
      `${file}: _class_name = ${show(pipeline)} is not supported; Stable Diffusion 1 and 2 are (StableDiffusionPipeline)`,
    );
  }
}

/**
 * The tensors of one part of the folder: one file or several shards, safetensors before PyTorch's, full before half precision.
 *
 * @param stems names that the file may have, without their endings
 * @returns undefined where there are none
 */
export async function readPart(
  folder: string,
  stems: readonly string[],
): Promise<{ tensors: ReadonlyMap<string, Weight>; file: string } | undefined> {
  const candidates = ['', '.fp16'].flatMap((variant) =>
    stems.flatMap((stem) => [
      `${stem}${variant}.safetensors`,
      `${stem}.safetensors.index${variant}.json`,
      `${stem}${variant}.bin`,
      `${stem}.bin.index${variant}.json`,
    ]),
  );
  const name = candidates.find((candidate) => existsSync(join(folder, candidate)));
  if (name === undefined) return undefined;
  const file = join(folder, name);
  return {
    tensors: name.endsWith('.json')
      ? await readShards(folder, name)
      : (await openTensorFile(file)).tensors,
    file,
  };
}

async function needPart(
  folder: string,
  stems: readonly string[],
  notes: string[],
): Promise<ReadonlyMap<string, Weight>> {
  const part = await readPart(folder, stems);
  if (!part) {
    const present = existsSync(folder) ? readdirSync(folder) : [];
    throw new UserError(
      `${folder}: no weights: ${stems[0]}.safetensors is missing${present.length > 0 ? `; there are ${present.slice(0, 8).join(', ')}` : ''}`,
    );
  }
  if (/\.fp16\./.test(part.file))
    notes.push(`${part.file}: only the half-precision variant is there`);
  return part.tensors;
}

async function readShards(folder: string, index: string): Promise<Map<string, Weight>> {
  const where = join(folder, index);
  const map = (readJson(where) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null)
    throw new UserError(`${where}: weight_map is missing`);
  const places = new Map(Object.entries(map));
  const weights = new Map<string, Weight>();
  for (const shard of new Set(places.values())) {
    if (typeof shard !== 'string' || /[/\\]|^\.\.?$/.test(shard))
      throw new UserError(`${where}: ${show(shard)} is no name of a file beside it`);
    for (const [key, weight] of (await openTensorFile(join(folder, shard))).tensors) {
      if (places.get(key) === shard) weights.set(key, weight);
    }
  }
  for (const [key, shard] of places) {
    if (!weights.has(key)) throw new UserError(`${where}: tensor ${key} is not in ${show(shard)}`);
  }
  return weights;
}
