import { UserError, type Weight } from '@sdft/tensor';
import type { ClipTextConfig, ScheduleConfig } from '../config.ts';
import {
  completeText,
  completeUNet,
  completeVae,
  familySettings,
  type ModelConfigs,
  type Settings,
} from './family.ts';
import { inferText, inferUNet, inferVae } from './infer.ts';
import { dropTextLayers } from './singleFile.ts';

/** What a settings file says about a checkpoint: whole configurations, or the few facts of an ldm config. */
export interface FoundSettings {
  /** For people: which file. */
  readonly from: string;
  readonly configs: Partial<ModelConfigs>;
  readonly settings?: Settings;
  /** A diffusers folder's tokenizer, where the settings come from one. */
  readonly tokenizerFolder?: string;
}

/** What is known of a single-file checkpoint. */
export interface SingleFile {
  /** The file, for messages. */
  readonly where: string;
  /** Its tensors under our paths; text layers whose states are not used are removed. */
  readonly weights: Map<string, Weight>;
  /** Whether the text encoder has OpenCLIP's names. */
  readonly openClip: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Finds the configurations of a single-file checkpoint: from `read` first, what that leaves open from the rule for the family.
 *
 * @param read settings file, if there is one
 * @param asked prediction type that the user named
 * @returns the configurations, and for people where they came from
 * @throws UserError where nothing says them; it names --config or --prediction-type
 */
export function resolveConfigs(
  file: SingleFile,
  read: FoundSettings | undefined,
  asked: ScheduleConfig['predictionType'] | undefined,
): { configs: ModelConfigs; notes: string[] } {
  const { where, weights } = file;
  const notes: string[] = read ? [`configuration: ${read.from}`] : [];
  const unetSizes = inferUNet(weights, where);
  const width = unetSizes.crossAttentionDim;
  const family = familySettings(unetSizes);
  const settings = read?.settings ?? family?.settings;
  const { unet, textEncoder, vae, schedule } = read?.configs ?? {};

  if (file.openClip) {
    const { numHiddenLayers } = inferText(weights, where);
    dropTextLayers(
      weights,
      usedTextLayers(numHiddenLayers, width, textEncoder, settings?.textLayer),
    );
  }
  if (unet && textEncoder && vae && schedule)
    return { configs: { unet, textEncoder, vae, schedule }, notes };

  if (!settings) {
    throw new UserError(
      `${where}: its tensors do not say how many heads and norm groups the model has, which activation, and what it predicts; no rule is known for text states ${width} wide. Say it with --config DIR|FILE, a folder in diffusers layout or an ldm .yaml (and with --prediction-type, where that does not)`,
    );
  }
  if (!read?.settings) notes.push(`configuration: ${family!.rule}`);
  const predictionType =
    schedule?.predictionType ??
    asked ??
    settings.predictionType ??
    statedPredictionType(file, notes);
  const settled = { ...settings, predictionType };
  return {
    configs: {
      unet: unet ?? completeUNet(unetSizes, settled, where),
      textEncoder: textEncoder ?? completeText(inferText(weights, where), settled, where),
      vae: vae ?? completeVae(inferVae(weights, where), settled, where),
      schedule: schedule ?? { ...settled.schedule, predictionType },
    },
    notes,
  };
}

/** Of OpenCLIP's layers all but the last are used, unless the configuration says otherwise. A file of 23 for SD2 lacks the last already. */
function usedTextLayers(
  count: number,
  width: number,
  given: ClipTextConfig | undefined,
  layer: Settings['textLayer'] = 'penultimate',
): number {
  if (given) return given.numHiddenLayers;
  if (layer === 'last' || (width === 1024 && count === 23)) return count;
  return count - 1;
}

function statedPredictionType(
  { where, metadata }: SingleFile,
  notes: string[],
): ScheduleConfig['predictionType'] {
  const stated = metadata['modelspec.prediction_type'];
  if (stated === 'epsilon' || stated === 'v') {
    notes.push(`prediction type ${stated}: the file's metadata (modelspec.prediction_type)`);
    return stated === 'v' ? 'v_prediction' : 'epsilon';
  }
  throw new UserError(
    `${where}: nothing says whether this model predicts noise or v (SD2-base and SD2 768-v have the same tensors). Say it with --prediction-type epsilon|v, or with --config DIR|FILE`,
  );
}
