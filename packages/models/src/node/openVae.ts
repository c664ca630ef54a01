import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { parseVaeConfig } from '../checkpoint/configFile.ts';
import { conform } from '../checkpoint/conform.ts';
import { expectedTensors } from '../checkpoint/expectedTensors.ts';
import { inferVae } from '../checkpoint/infer.ts';
import { vaeFromSingleFile } from '../checkpoint/singleFile.ts';
import type { VaeConfig } from '../config.ts';
import { readVaeFolder } from './diffusersFolder.ts';
import { attempt } from './fileSource.ts';
import { readJson } from './settingsFiles.ts';
import { openTensorFile } from './tensorFile.ts';

/**
 * Opens a VAE that stands alone: a folder in diffusers layout (or a whole model's, whose VAE it takes), or a file, of a VAE or of a whole
 * checkpoint. What a file does not say, norm groups and scaling, is taken from `like`.
 *
 * @param like configuration of the VAE that this one replaces
 * @throws UserError naming file, tensor or setting
 */
export async function openVae(
  path: string,
  like: VaeConfig,
): Promise<{ weights: Map<string, Weight>; vae: VaeConfig }> {
  if (attempt(path, () => statSync(path)).isDirectory()) {
    const folder = existsSync(join(path, 'vae')) ? join(path, 'vae') : path;
    const file = join(folder, 'config.json');
    if (!existsSync(file))
      throw new UserError(`${path}: is no VAE in diffusers layout: config.json is missing`);
    const vae = parseVaeConfig(readJson(file), file);
    return {
      weights: conform(await readVaeFolder(folder, []), expectedTensors({ vae }), path, ['vae.']),
      vae,
    };
  }
  const found = vaeFromSingleFile((await openTensorFile(path)).tensors);
  if (found.size === 0)
    throw new UserError(
      `${path}: holds no VAE: no tensor is called encoder.* or first_stage_model.*`,
    );
  const vae: VaeConfig = { ...like, ...inferVae(found, path) };
  return { weights: conform(found, expectedTensors({ vae }), path), vae };
}
