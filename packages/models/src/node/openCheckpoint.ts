import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { conform } from '../checkpoint/conform.ts';
import { expectedTensors } from '../checkpoint/expectedTensors.ts';
import type { ModelConfigs } from '../checkpoint/family.ts';
import { inferUNet } from '../checkpoint/infer.ts';
import { resolveConfigs } from '../checkpoint/resolveConfigs.ts';
import { fromSingleFile } from '../checkpoint/singleFile.ts';
import type { ClipTextConfig, ScheduleConfig, UNetConfig, VaeConfig } from '../config.ts';
import { readDiffusersFolder } from './diffusersFolder.ts';
import { attempt } from './fileSource.ts';
import { openTensorFile } from './tensorFile.ts';
import { findSettings } from './settingsFiles.ts';
import { readPadTokenId } from './tokenizerFolder.ts';
import { openVae } from './openVae.ts';

/** How a checkpoint is to be read. */
export interface OpenOptions {
  /** Says how a single-file checkpoint is built: a folder in diffusers layout, an ldm `.yaml`, or a `.json`. */
  readonly config?: string;
  /** Overrides what is found. */
  readonly predictionType?: ScheduleConfig['predictionType'];
  /** A VAE in place of the checkpoint's own: a folder in diffusers layout or a file. */
  readonly vae?: string;
  /** Take the U-Net's running averages, where a checkpoint holds both. */
  readonly emaWeights?: boolean;
}

/** A Stable Diffusion checkpoint, opened: configurations, and weights that are read when asked for. */
export interface Checkpoint {
  readonly kind: 'diffusers' | 'ldm';
  readonly path: string;
  /** Exactly the tensors of the three networks, by their paths: diffusers' names below `unet.`, `text_encoder.` and `vae.`. */
  readonly weights: ReadonlyMap<string, Weight>;
  readonly unet: UNetConfig;
  readonly textEncoder: ClipTextConfig;
  readonly vae: VaeConfig;
  readonly schedule: ScheduleConfig;
  /** Folder of the checkpoint's own tokenizer; undefined where it brings none: CLIP's is meant. */
  readonly tokenizerFolder?: string;
  /** For people: where the configurations came from, what was passed over. */
  readonly notes: readonly string[];
}

/**
 * Opens a checkpoint: a folder in diffusers layout, or a single file in the layout of CompVis and Stability (`.safetensors`, `.ckpt`). Only
 * headers and configurations are read; every tensor's presence, shape and type are checked.
 *
 * @throws UserError naming file, tensor or setting
 */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<Checkpoint> {
  const isFolder = attempt(path, () => statSync(path)).isDirectory();
  const opened = isFolder ? await openFolder(path, options) : await openFile(path, options);
  const notes = [...opened.notes];
  let { schedule, vae } = opened.configs;
  const { weights } = opened;
  if (options.predictionType !== undefined && options.predictionType !== schedule.predictionType) {
    schedule = { ...schedule, predictionType: options.predictionType };
    notes.push(`prediction type ${options.predictionType}: as asked for`);
  }
  if (options.vae !== undefined) {
    const other = await openVae(options.vae, vae);
    if (
      other.vae.latentChannels !== opened.configs.unet.inChannels &&
      other.vae.latentChannels !== vae.latentChannels
    ) {
      throw new UserError(
        `${options.vae}: makes latents of ${other.vae.latentChannels} channels, the U-Net of ${path} takes ${opened.configs.unet.inChannels}`,
      );
    }
    for (const name of [...weights.keys()]) if (name.startsWith('vae.')) weights.delete(name);
    for (const [name, weight] of other.weights) weights.set(name, weight);
    vae = other.vae;
    notes.push(`VAE: ${options.vae}`);
  }
  const { unet, textEncoder } = opened.configs;
  if (unet.crossAttentionDim !== textEncoder.hiddenSize) {
    throw new UserError(
      `${path}: its U-Net takes text states ${unet.crossAttentionDim} wide, its text encoder gives ${textEncoder.hiddenSize}`,
    );
  }
  return deepFreeze({
    kind: isFolder ? 'diffusers' : 'ldm',
    path,
    weights,
    unet,
    textEncoder,
    vae,
    schedule,
    ...(opened.tokenizerFolder !== undefined && { tokenizerFolder: opened.tokenizerFolder }),
    notes,
  });
}

interface Opened {
  readonly weights: Map<string, Weight>;
  readonly configs: ModelConfigs;
  readonly tokenizerFolder?: string;
  readonly notes: readonly string[];
}

async function openFolder(path: string, options: OpenOptions): Promise<Opened> {
  const {
    weights: found,
    configs,
    notes,
  } = await readDiffusersFolder(path, options.emaWeights ?? false);
  const weights = conform(found, expectedTensors(configs), path);
  const tokenizer = join(path, 'tokenizer');
  return {
    weights,
    ...withTokenizer(configs, existsSync(tokenizer) ? tokenizer : undefined),
    notes:
      options.config === undefined
        ? notes
        : [
            ...notes,
            `${options.config}: passed over, a diffusers folder brings its own configurations`,
          ],
  };
}

async function openFile(path: string, options: OpenOptions): Promise<Opened> {
  const { tensors, metadata } = await openTensorFile(path);
  const { weights: found, openClip } = fromSingleFile(tensors, path, options.emaWeights);
  const read = findSettings(path, options.config, inferUNet(found, path).crossAttentionDim);
  const file = { where: path, weights: found, openClip, metadata };
  const { configs, notes } = resolveConfigs(file, read, options.predictionType);
  return {
    weights: conform(found, expectedTensors(configs), path),
    ...withTokenizer(configs, read?.tokenizerFolder),
    notes: options.emaWeights ? ['U-Net: running averages (EMA)', ...notes] : notes,
  };
}

function withTokenizer(
  configs: ModelConfigs,
  tokenizerFolder: string | undefined,
): Pick<Opened, 'configs' | 'tokenizerFolder'> {
  if (tokenizerFolder === undefined) return { configs };
  const padTokenId = readPadTokenId(tokenizerFolder) ?? configs.textEncoder.padTokenId;
  return {
    configs: { ...configs, textEncoder: { ...configs.textEncoder, padTokenId } },
    tokenizerFolder,
  };
}

function deepFreeze(checkpoint: Checkpoint): Checkpoint {
  const freeze = (value: unknown): void => {
    if (
      typeof value !== 'object' ||
      value === null ||
      value instanceof Map ||
      Object.isFrozen(value)
    )
      return;
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  };
  freeze(checkpoint);
  return checkpoint;
}
