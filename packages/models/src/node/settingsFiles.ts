import { existsSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { UserError } from '@sdft/tensor';
import { parse } from 'yaml';
import {
  parseClipTextConfig,
  parseScheduleConfig,
  parseUNetConfig,
  parseVaeConfig,
} from '../checkpoint/configFile.ts';
import type { ModelConfigs } from '../checkpoint/family.ts';
import type { FoundSettings } from '../checkpoint/resolveConfigs.ts';
import { parseLdmConfig } from '../checkpoint/ldmConfig.ts';
import { stableDiffusionSchedule } from '../config.ts';
import { attempt } from './fileSource.ts';

const maxBytes = 16 * 2 ** 20;

/**
 * Finds what says how a single-file checkpoint is built: `--config`, or a `.yaml` or `.json` of the same name beside the file.
 *
 * @param config a diffusers folder, an ldm `.yaml`, or a `.json`: a diffusers U-Net or scheduler config, or an object of configs under
 *   `unet`, `vae`, `text_encoder` and `scheduler`
 * @param crossAttentionDim width of the text states in the checkpoint
 * @returns undefined where there is neither
 * @throws UserError where a file is malformed, contradicts the checkpoint, or asks for what is not supported
 */
export function findSettings(
  path: string,
  config: string | undefined,
  crossAttentionDim: number,
): FoundSettings | undefined {
  if (config !== undefined) {
    if (attempt(config, () => statSync(config)).isDirectory()) return readSettingsFolder(config);
    const found = readSettingsFile(config, crossAttentionDim);
    if (!found) throw new UserError(`${config}: holds no configuration of a model`);
    return found;
  }
  const stem = path.slice(0, path.length - extname(path).length);
  for (const extension of ['.yaml', '.yml', '.json']) {
    // Interfaces for generation keep notes of their own in a .json beside the model: such a file is passed over.
    const found = existsSync(stem + extension)
      ? readSettingsFile(stem + extension, crossAttentionDim)
      : undefined;
    if (found) return found;
  }
  return undefined;
}

/** Reads a JSON file. Throws UserError naming it. */
export const readJson = (path: string): unknown => parseJson(readText(path), path);

/** JSON that was read from `path`. Throws UserError naming it. */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UserError(`${path}: is not JSON: ${(error as Error).message}`);
  }
}

/** Reads a small text file. Throws UserError naming it. */
export function readText(path: string): string {
  return attempt(path, () => {
    const { size } = statSync(path);
    if (size > maxBytes)
      throw new UserError(`${path}: ${size} bytes are too many for a configuration`);
    return readFileSync(path, 'utf8');
  });
}

function readSettingsFolder(folder: string): FoundSettings {
  const file = (name: string): string | undefined => {
    const path = join(folder, name);
    return existsSync(path) ? path : undefined;
  };
  const unet = file('unet/config.json');
  const textEncoder = file('text_encoder/config.json');
  const vae = file('vae/config.json');
  const schedule = file('scheduler/scheduler_config.json');
  const tokenizerFolder = file('tokenizer');
  if (!unet && !textEncoder && !vae && !schedule) {
    throw new UserError(
      `${folder}: is no folder in diffusers layout: unet/config.json, text_encoder/config.json, vae/config.json and scheduler/scheduler_config.json are missing`,
    );
  }
  return {
    from: folder,
    configs: {
      ...(unet && { unet: parseUNetConfig(readJson(unet), unet) }),
      ...(textEncoder && { textEncoder: parseClipTextConfig(readJson(textEncoder), textEncoder) }),
      ...(vae && { vae: parseVaeConfig(readJson(vae), vae) }),
      ...(schedule && { schedule: parseScheduleConfig(readJson(schedule), schedule) }),
    },
    ...(tokenizerFolder && { tokenizerFolder }),
  };
}

function readSettingsFile(path: string, crossAttentionDim: number): FoundSettings | undefined {
  if (extname(path).toLowerCase() === '.json') return readSettingsJson(path);
  const text = readText(path);
  let yaml: unknown;
  try {
    yaml = parse(text);
  } catch (error) {
    throw new UserError(`${path}: is not YAML: ${(error as Error).message}`);
  }
  return { from: path, configs: {}, settings: parseLdmConfig(yaml, path, crossAttentionDim) };
}

function readSettingsJson(path: string): FoundSettings | undefined {
  const json = readJson(path);
  if (typeof json !== 'object' || json === null) return undefined;
  const object = json as Record<string, unknown>;
  const parts =
    'cross_attention_dim' in object
      ? { unet: object }
      : 'prediction_type' in object
        ? { scheduler: object }
        : object;
  const { unet, text_encoder: text, vae, scheduler } = parts as Record<string, unknown>;
  if (!unet && !text && !vae && !scheduler) return undefined;
  return {
    from: path,
    configs: {
      ...(unet !== undefined && { unet: parseUNetConfig(unet, `${path}: unet`) }),
      ...(text !== undefined && {
        textEncoder: parseClipTextConfig(text, `${path}: text_encoder`),
      }),
      ...(vae !== undefined && { vae: parseVaeConfig(vae, `${path}: vae`) }),
      ...(scheduler !== undefined && { schedule: scheduleOf(scheduler, `${path}: scheduler`) }),
    },
  };
}

/** A scheduler config that names no betas means Stable Diffusion's, not the class's own. */
function scheduleOf(scheduler: unknown, where: string): ModelConfigs['schedule'] {
  const schedule = parseScheduleConfig(scheduler, where);
  if (typeof scheduler === 'object' && scheduler !== null && 'beta_start' in scheduler)
    return schedule;
  const { betaStart, betaEnd, betaSchedule } = stableDiffusionSchedule;
  return { ...schedule, betaStart, betaEnd, betaSchedule };
}
