import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { architecture } from '../checkpoint/architectures.ts';
import {
  clipTextFile,
  type ConfigFile,
  lowResScheduleFile,
  modelIndexFile,
  scheduleFile,
  unetFile,
  vaeFile,
} from '../checkpoint/configWriter.ts';
import { expectedTensors } from '../checkpoint/expectedTensors.ts';
import {
  completeText,
  completeUNet,
  completeVae,
  familySettings,
  type ModelConfigs,
} from '../checkpoint/family.ts';
import type { FloatType } from '../checkpoint/floats.ts';
import { dtypeOf, type Model, weightsToWrite } from '../checkpoint/model.ts';
import type { PythonValue } from '../checkpoint/pythonValue.ts';
import { randomWeights } from '../checkpoint/randomWeights.ts';
import { toSingleFile } from '../checkpoint/toSingleFile.ts';
import { type WriteOptions, writeFileWhole, writeFolderWhole } from './atomicWrite.ts';
import { writeSafetensors } from './safetensorsFile.ts';
import { writeTorch } from './torchWriter.ts';
import { writeTokenizer } from './writeTokenizer.ts';

/** How a checkpoint is to be written. */
export interface WriteCheckpointOptions extends WriteOptions {
  /** What every weight is stored as; without it each stays as it is. */
  readonly dtype?: FloatType;
}

/**
 * Writes a model as a folder in diffusers layout, tensor after tensor. The folder appears whole or not at all.
 *
 * @throws UserError where a tensor is missing or misshapen, or the folder exists (without `force`) or cannot be written
 */
export async function writeDiffusersFolder(
  path: string,
  model: Model,
  options: WriteCheckpointOptions = {},
): Promise<void> {
  const weights = weightsToWrite(model, path, options.dtype);
  const hasTokenizer = model.tokenizerFolder !== undefined || model.textEncoder.vocabSize === 49408;
  await writeFolderWhole(
    path,
    'model_index.json',
    async (folder) => {
      const part = async (
        root: string,
        stem: string,
        config: (dtype: FloatType) => ConfigFile,
      ): Promise<void> => {
        const tensors = below(weights, `${root}.`);
        await mkdir(join(folder, root));
        await writeJson(join(folder, root, 'config.json'), config(dtypeOf(tensors.values())));
        // transformers refuses safetensors files without this entry.
        await writeSafetensors(join(folder, root, `${stem}.safetensors`), tensors, {
          metadata: { format: 'pt' },
        });
      };
      await part('unet', 'diffusion_pytorch_model', () => unetFile(model.unet));
      await part('vae', 'diffusion_pytorch_model', () => vaeFile(model.vae));
      await part('text_encoder', 'model', (dtype) => clipTextFile(model.textEncoder, dtype));
      await mkdir(join(folder, 'scheduler'));
      await writeJson(
        join(folder, 'scheduler', 'scheduler_config.json'),
        scheduleFile(model.schedule),
      );
      if (isUpscaling(model)) {
        await mkdir(join(folder, 'low_res_scheduler'));
        await writeJson(
          join(folder, 'low_res_scheduler', 'scheduler_config.json'),
          lowResScheduleFile(model.schedule),
        );
      }
      if (hasTokenizer)
        await writeTokenizer(join(folder, 'tokenizer'), model.textEncoder, model.tokenizerFolder);
      await writeJson(
        join(folder, 'model_index.json'),
        modelIndexFile(hasTokenizer, isUpscaling(model)),
      );
    },
    options,
  );
}

/** What a single file of a whole model may end in. */
const ldmEndings = ['.safetensors', '.ckpt'];

/**
 * Writes a model as one file in the layout of CompVis (SD1) or Stability (SD2), tensor after tensor: `.safetensors`, or `.ckpt` as PyTorch saves it. Where the rule for
 * its family would not give back its configurations, they are written beside it, into a `.json` of the same name, which `openCheckpoint` reads.
 *
 * @returns the files written
 * @throws UserError where a tensor is missing or misshapen, or a file exists (without `force`) or cannot be written
 */
export async function writeLdmFile(
  path: string,
  model: Model,
  options: WriteCheckpointOptions = {},
): Promise<string[]> {
  const ending = extname(path);
  if (!ldmEndings.includes(ending))
    throw new UserError(
      `${path}: a single-file checkpoint is written as ${ldmEndings.join(' or ')}`,
    );
  const tensors = toSingleFile(weightsToWrite(model, path, options.dtype), model);
  const isV = model.schedule.predictionType === 'v_prediction';
  const metadata = {
    format: 'pt',
    'modelspec.sai_model_spec': '1.0.1',
    'modelspec.title': basename(path, ending),
    'modelspec.prediction_type': isV ? 'v' : 'epsilon',
  };
  const write = (): Promise<void> =>
    ending === '.ckpt'
      ? writeTorch(
          path,
          new Map([['state_dict', new Map<PythonValue, PythonValue>(tensors)]]),
          options,
        )
      : writeSafetensors(path, tensors, { ...options, metadata });
  const settings = `${path.slice(0, -ending.length)}.json`;
  // A .ckpt has no metadata to say what SD2 predicts.
  if (isExplainedByFamily(model, ending === '.safetensors')) {
    await write();
    return [path];
  }
  const configs = {
    unet: unetFile(model.unet),
    vae: vaeFile(model.vae),
    text_encoder: clipTextFile(model.textEncoder, options.dtype ?? 'f32'),
    scheduler: scheduleFile(model.schedule),
  };
  await writeFileWhole(settings, [jsonBytes(configs)], options);
  try {
    await write();
  } catch (error) {
    await rm(settings, { force: true });
    throw error;
  }
  return [path, settings];
}

/**
 * Writes random weights of a known architecture as a folder in diffusers layout: for benchmarks and tests.
 *
 * @param like the name of an architecture, such as `sd15` or `tiny`, or any model, whose sizes and tokenizer are taken
 * @param seed an integer from 0 to 2^32 - 1: the same seed gives the same files
 * @throws UserError where the name is not known, or the folder exists (without `force`) or cannot be written
 */
export async function initCheckpoint(
  like: string | Omit<Model, 'weights'>,
  seed: number,
  path: string,
  options: WriteCheckpointOptions = {},
): Promise<void> {
  const model = typeof like === 'string' ? architecture(like) : like;
  const weights = randomWeights(expectedTensors(model), seed);
  await writeDiffusersFolder(path, { ...model, weights }, options);
}

/** Whether a model reads a noise level, and so small pictures with noise. */
const isUpscaling = ({ unet }: Pick<Model, 'unet'>): boolean => unet.numClassEmbeds !== undefined;

/**
 * Whether the rule for the family gives exactly these configurations to what the tensors say.
 *
 * @param saysPrediction whether the file says what the model predicts, where the rule does not know
 */
function isExplainedByFamily(model: Model, saysPrediction: boolean): boolean {
  const family = familySettings(model.unet);
  const { crossAttentionDim, blockOutChannels, onlyCrossAttention: onlyCross = [] } = model.unet;
  // Shapes tell keys of the text from keys of the pixels only where the widths differ.
  const ambiguous = blockOutChannels.some(
    (width, i) => onlyCross[i] && width === crossAttentionDim,
  );
  if (!family || ambiguous) return false;
  const ruledType = family.settings.predictionType;
  if (ruledType === undefined && !saysPrediction) return false;
  const predictionType = ruledType ?? model.schedule.predictionType;
  const settings = { ...family.settings, predictionType };
  try {
    const ruled: ModelConfigs = {
      unet: completeUNet(model.unet, settings, ''),
      textEncoder: completeText(model.textEncoder, settings, ''),
      vae: completeVae(model.vae, settings, ''),
      schedule: { ...settings.schedule, predictionType },
    };
    return sameConfigs(ruled, model);
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/** Compares what changes results: not the sizes at which a model was trained, not the unused projection, not how precisely the reference computes. */
function sameConfigs(a: ModelConfigs, b: ModelConfigs): boolean {
  const essence = ({ unet, textEncoder, vae, schedule }: ModelConfigs): string =>
    JSON.stringify([
      unetFile({ ...unet, sampleSize: 0, upcastAttention: false }),
      clipTextFile({ ...textEncoder, projectionDim: 0 }, 'f32'),
      vaeFile({ ...vae, sampleSize: 0 }),
      scheduleFile(schedule),
    ]);
  return essence(a) === essence(b);
}

function below(weights: ReadonlyMap<string, Weight>, prefix: string): Map<string, Weight> {
  return new Map(
    [...weights]
      .filter(([path]) => path.startsWith(prefix))
      .map(([path, weight]) => [path.slice(prefix.length), weight]),
  );
}

function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`);
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, jsonBytes(value));
}
