/** @file What files in kohya's layout say about themselves. */
import type { Base, PlainRecord } from '@sdft/pipeline';
import type { Plan } from '../plan.ts';

/** Settings of a run that metadata repeat. */
interface RunSettings {
  readonly steps?: number;
  readonly batch?: number;
  readonly accumulate?: number;
  readonly seed?: number;
  readonly clip?: number | string;
  readonly clipSkip?: number;
  readonly snrGamma?: number;
  readonly noiseOffset?: number;
  readonly trainTextEncoder?: boolean;
  readonly textEncoderLr?: number | string;
  readonly optimizer?: { readonly name?: string; readonly lr?: number | string };
  readonly schedule?: { readonly name?: string; readonly warmup?: number };
  readonly data?: {
    readonly images?: string;
    readonly repeats?: number;
    readonly resolution?: number | string;
  };
}

/** Settings that `ss_network_args` repeats, by LyCORIS' names. */
const networkArguments: Readonly<Record<string, string>> = {
  ...{ convRank: 'conv_dim', convAlpha: 'conv_alpha', dora: 'dora_wd', rsLora: 'rs_lora' },
  ...{ tucker: 'use_tucker', factor: 'factor', decomposeBoth: 'decompose_both' },
  ...{ dropout: 'dropout', rankDropout: 'rank_dropout', moduleDropout: 'module_dropout' },
};

/**
 * Training metadata that interfaces read, by kohya's names (kohya-ss/sd-scripts `train_network.py`). Of paths nothing but the last part is told. No times: the same run gives the
 * same file.
 *
 * @param title name of the file without folder and ending
 */
export function kohyaMetadata(
  { algorithm, rank, alpha }: Pick<Plan, 'algorithm' | 'rank' | 'alpha'>,
  recipe: PlainRecord,
  base: Pick<Base, 'name' | 'unet' | 'schedule'>,
  step: number,
  title: string,
): Record<string, string> {
  const run = recipe as RunSettings;
  const isV2 = base.unet.crossAttentionDim === 1024;
  const isV = base.schedule.config.predictionType === 'v_prediction';
  const plain = algorithm === 'lora' && recipe['dora'] !== true && recipe['tucker'] !== true;
  const args = Object.entries(networkArguments).flatMap(([setting, name]) =>
    recipe[setting] === undefined ? [] : [[name, String(recipe[setting])]],
  );
  const { optimizer = {}, schedule = {}, data = {} } = run;
  const [side] = [data.resolution ?? (base.unet.sampleSize ?? 64) * 8];
  const resolution = /x/.test(String(side)) ? String(side) : `${side}x${side}`;
  const said: Record<string, unknown> = {
    ss_v2: isV2 ? 'True' : 'False',
    ss_base_model_version: isV2 ? (isV ? 'sd_v2_v' : 'sd_v2') : 'sd_v1',
    ss_network_module: plain ? 'networks.lora' : 'lycoris.kohya',
    ss_network_dim: rank,
    ss_network_alpha: alpha,
    ss_network_args: JSON.stringify(
      Object.fromEntries(plain ? args : [['algo', algorithm], ...args]),
    ),
    ss_network_dropout: recipe['dropout'],
    ss_output_name: title,
    ss_sd_model_name: lastPart(base.name),
    ss_learning_rate: optimizer.lr,
    ss_unet_lr: optimizer.lr,
    ss_text_encoder_lr: run.trainTextEncoder ? (run.textEncoderLr ?? optimizer.lr) : undefined,
    ss_optimizer: optimizer.name,
    ss_lr_scheduler: schedule.name ?? 'constant',
    ss_lr_warmup_steps: schedule.warmup ?? 0,
    ss_max_train_steps: run.steps,
    ss_steps: step,
    ss_batch_size_per_device: run.batch,
    ss_gradient_accumulation_steps: run.accumulate,
    ss_max_grad_norm: run.clip,
    ss_seed: run.seed,
    ss_clip_skip: run.clipSkip,
    ss_min_snr_gamma: run.snrGamma,
    ss_noise_offset: run.noiseOffset,
    ss_mixed_precision: 'no',
    ss_resolution: `(${resolution.replace('x', ', ')})`,
    ss_dataset_dirs:
      data.images === undefined
        ? undefined
        : JSON.stringify({ [lastPart(data.images)]: { n_repeats: data.repeats ?? 1 } }),
  };
  return {
    ...Object.fromEntries(
      Object.entries(said).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, String(value)]],
      ),
    ),
    'modelspec.sai_model_spec': '1.0.1',
    'modelspec.architecture': `${architecture(isV2, isV)}/lora`,
    'modelspec.implementation': 'diffusers',
    'modelspec.title': title,
    'modelspec.resolution': resolution,
    'modelspec.prediction_type': isV ? 'v' : 'epsilon',
    ...((run.clipSkip ?? 1) > 1 && { 'modelspec.encoder_layer': String(run.clipSkip) }),
  };
}

const architecture = (isV2: boolean, isV: boolean): string =>
  isV2 ? (isV ? 'stable-diffusion-v2-768-v' : 'stable-diffusion-v2-512') : 'stable-diffusion-v1';

/** A path's last part. */
export const lastPart = (path: string): string =>
  path.replace(/[/\\]+$/, '').replace(/^.*[/\\]/, '');
