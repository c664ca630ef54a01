import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { conform } from '../checkpoint/conform.ts';
import { expectedTensors } from '../checkpoint/expectedTensors.ts';
import {
  completeText,
  completeUNet,
  completeVae,
  familySettings,
  type ModelConfigs,
} from '../checkpoint/family.ts';
import { inferText, inferUNet, inferVae } from '../checkpoint/infer.ts';
import { dropTextLayers, fromSingleFile } from '../checkpoint/singleFile.ts';
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
  const file = await openTensorFile(path);
  const { weights: found, openClip } = fromSingleFile(
    file.tensors,
    path,
    options.emaWeights ?? false,
  );
  const sizes = inferUNet(found, path);
  const width = sizes.crossAttentionDim;
  const notes: string[] = options.emaWeights ? ['U-Net: running averages (EMA)'] : [];

  const family = familySettings(width);
  const read = findSettings(path, options.config, width);
  const settings = read?.settings ?? family?.settings;
  const given = read?.configs ?? {};
  if (read) notes.push(`configuration: ${read.from}`);

  const rule = (): NonNullable<typeof settings> => {
    if (settings) return settings;
    throw new UserError(
      `${path}: its tensors do not say how many heads and norm groups the model has, which activation, and what it predicts; no rule is known for text states ${width} wide. Say it with --config DIR|FILE, a folder in diffusers layout or an ldm .yaml (and with --prediction-type, where that does not)`,
    );
  };
  if (
    !read?.settings &&
    family &&
    !(given.unet && given.textEncoder && given.vae && given.schedule)
  )
    notes.push(`configuration: ${family.rule}`);

  if (openClip)
    dropTextLayers(
      found,
      usedTextLayers(
        inferText(found, path).numHiddenLayers,
        width,
        given.textEncoder,
        settings?.textLayer,
      ),
    );
  const unet = given.unet ?? completeUNet(sizes, rule(), path);
  const textEncoder = given.textEncoder ?? completeText(inferText(found, path), rule(), path);
  const vae = given.vae ?? completeVae(inferVae(found, path), rule(), path);
  const schedule = given.schedule ?? {
    ...rule().schedule,
    predictionType: predictionTypeOf(path, options, rule().predictionType, file.metadata, notes),
  };
  const configs: ModelConfigs = { unet, textEncoder, vae, schedule };
  const weights = conform(found, expectedTensors(configs), path);

  return {
    weights,
    ...withTokenizer(configs, read?.tokenizerFolder),
    notes,
  };
}

/** Of OpenCLIP's layers all but the last are used, unless the configuration says otherwise. A file of 23 for SD2 lacks the last already. */
function usedTextLayers(
  count: number,
  width: number,
  given: ClipTextConfig | undefined,
  layer: 'last' | 'penultimate' = 'penultimate',
): number {
  if (given) return given.numHiddenLayers;
  if (layer === 'last' || (width === 1024 && count === 23)) return count;
  return count - 1;
}

function predictionTypeOf(
  path: string,
  options: OpenOptions,
  known: ScheduleConfig['predictionType'] | undefined,
  metadata: Readonly<Record<string, string>>,
  notes: string[],
): ScheduleConfig['predictionType'] {
  if (options.predictionType) return options.predictionType;
  if (known) return known;
  const stated = metadata['modelspec.prediction_type'];
  if (stated === 'epsilon' || stated === 'v') {
    notes.push(`prediction type ${stated}: the file's metadata (modelspec.prediction_type)`);
    return stated === 'v' ? 'v_prediction' : 'epsilon';
  }
  throw new UserError(
    `${path}: nothing says whether this model predicts noise or v (SD2-base and SD2 768-v have the same tensors). Say it with --prediction-type epsilon|v, or with --config DIR|FILE`,
  );
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
