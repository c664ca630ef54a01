import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noiseSchedule, type ScheduleConfig } from '@sdft/models';
import { clipTokenizer, openCheckpoint, readTokenizer } from '@sdft/models/node';
import * as nano from '@sdft/nano';
import { UserError } from '@sdft/tensor';
import type { ResolvedRecipe } from '../recipe/composition.ts';
import { type Base, kindOf } from '../training/base.ts';

/** How a base is to be read; the names are those of the command line. */
export interface BaseOptions {
  /** Says how a single-file checkpoint is built: a folder in diffusers layout, a `.yaml` or a `.json`. */
  readonly config?: string | undefined;
  readonly predictionType?: 'epsilon' | 'v' | undefined;
  /** A VAE in place of the base's own. */
  readonly vae?: string | undefined;
  readonly emaWeights?: boolean | undefined;
  /**
   * Whether the noise schedule ends in pure noise, its betas rescaled (Lin et al. 2023, arXiv:2305.08891); pictures are then drawn from its last timestep on
   * (`trailing`). Default: as the base has it.
   */
  readonly zeroTerminalSnr?: boolean | undefined;
  /** Whether the noise schedule is float32's, as diffusers has it, or float64's, as A1111 has it: 1e-7 apart. Default f32. */
  readonly schedulePrecision?: 'f32' | 'f64' | undefined;
  /** The folder that relative paths start from. Default: the working directory. */
  readonly relativeTo?: string | undefined;
}

/**
 * Opens a base: a folder in diffusers layout, a single file, or `nano`. Weights are read when asked for.
 *
 * @throws UserError naming file, tensor or setting
 */
export async function openBase(name: string, options: BaseOptions = {}): Promise<Base> {
  const { config, predictionType, vae, emaWeights, relativeTo = '' } = options;
  const under = (path: string) => (isAbsolute(path) ? path : join(relativeTo, path));
  const path = name === 'nano' ? fileURLToPath(nano.model) : under(name);
  const checkpoint = await openCheckpoint(path, {
    ...(config !== undefined && { config: under(config) }),
    ...(predictionType && {
      predictionType: predictionType === 'v' ? 'v_prediction' : 'epsilon',
    }),
    ...(vae !== undefined && { vae: under(vae) }),
    ...(emaWeights !== undefined && { emaWeights }),
  });
  const { tokenizerFolder, textEncoder, unet } = checkpoint;
  const tokenizer = await (tokenizerFolder === undefined
    ? clipTokenizer()
    : readTokenizer(tokenizerFolder));
  if (tokenizer.size > textEncoder.vocabSize)
    throw new UserError(
      `${path}: its vocabulary has ${tokenizer.size} words, its text encoder knows ${textEncoder.vocabSize}: they do not belong together`,
    );
  const { vae: autoencoder } = checkpoint;
  // One that nothing here can use is refused now.
  kindOf({ name: path, unet, vae: autoencoder });
  return {
    name,
    unet,
    textEncoder,
    vae: autoencoder,
    schedule: noiseSchedule(rescaled(checkpoint.schedule, options.zeroTerminalSnr), {
      precision: options.schedulePrecision ?? 'f32',
    }),
    tokenizer,
    tokenizerFolder,
    weights: checkpoint.weights,
    notes: checkpoint.notes,
  };
}

/** Lin et al. 2023, sections 3.1 and 3.3. */
const rescaled = (
  schedule: ScheduleConfig,
  rescaleBetasZeroSnr = schedule.rescaleBetasZeroSnr,
): ScheduleConfig =>
  rescaleBetasZeroSnr === schedule.rescaleBetasZeroSnr
    ? schedule
    : {
        ...schedule,
        rescaleBetasZeroSnr,
        ...(rescaleBetasZeroSnr && { timestepSpacing: 'trailing' as const }),
      };

/** The base of a recipe. Throws UserError naming file, tensor or setting. */
export const openBaseOf = (recipe: ResolvedRecipe, relativeTo: string): Promise<Base> =>
  openBase(recipe.base, {
    config: recipe.config,
    predictionType: recipe.predictionType,
    vae: recipe.vae,
    emaWeights: recipe.emaWeights,
    zeroTerminalSnr: recipe.zeroTerminalSnr,
    schedulePrecision: recipe.flavour === 'a1111' ? 'f64' : 'f32',
    relativeTo,
  });
