import { UserError } from '@sdft/tensor';
import { z } from 'zod';
import { stableDiffusionSchedule } from '../config.ts';
import type { Settings } from './family.ts';

const size = z.int().positive();
const target = z.string().optional();

/** The parts of a CompVis or Stability config that say what a file's tensors do not. */
const file = z.object({
  model: z.object({
    params: z.object({
      parameterization: z.enum(['eps', 'v']).default('eps'),
      linear_start: z.number().positive().default(0.00085),
      linear_end: z.number().positive().default(0.012),
      timesteps: size.default(1000),
      scale_factor: z.number().positive().default(0.18215),
      unet_config: z.object({
        params: z.object({
          context_dim: z.union([size, z.array(size)]).optional(),
          num_heads: z.int().default(-1),
          num_head_channels: z.int().default(-1),
        }),
      }),
      cond_stage_config: z.object({
        target,
        params: z.looseObject({ layer: z.string().optional() }).nullish(),
      }),
    }),
  }),
});

/**
 * Reads the parsed YAML of a CompVis or Stability config (`v1-inference.yaml`, `v2-inference-v.yaml`).
 *
 * @param crossAttentionDim width of the text states in the checkpoint, which the config must agree with
 * @throws UserError naming file, key and value
 */
export function parseLdmConfig(yaml: unknown, where: string, crossAttentionDim: number): Settings {
  const result = file.safeParse(yaml);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new UserError(
      `${where}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is malformed'}; a config of Stable Diffusion 1 or 2 is expected`,
    );
  }
  const { params } = result.data.model;
  const unet = params.unet_config.params;
  const width = Array.isArray(unet.context_dim) ? unet.context_dim[0] : unet.context_dim;
  if (width !== undefined && width !== crossAttentionDim) {
    throw new UserError(
      `${where}: model.params.unet_config.params.context_dim = ${width}, the checkpoint has ${crossAttentionDim}`,
    );
  }
  if (unet.num_heads <= 0 && unet.num_head_channels <= 0) {
    throw new UserError(
      `${where}: model.params.unet_config.params needs num_heads or num_head_channels`,
    );
  }
  const { target: encoder = '', params: encoderParams } = params.cond_stage_config;
  const openClip = encoder.includes('OpenCLIP');
  if (!openClip && !encoder.includes('FrozenCLIPEmbedder')) {
    throw new UserError(
      `${where}: model.params.cond_stage_config.target = ${encoder} is not supported; FrozenCLIPEmbedder and FrozenOpenCLIPEmbedder are`,
    );
  }
  return {
    unetHeads:
      unet.num_head_channels > 0 ? { size: unet.num_head_channels } : { count: unet.num_heads },
    hiddenAct: openClip ? 'gelu' : 'quick_gelu',
    padding: openClip ? 'zero' : 'end',
    textLayer: encoderParams?.layer === 'last' ? 'last' : 'penultimate',
    scalingFactor: params.scale_factor,
    predictionType: params.parameterization === 'v' ? 'v_prediction' : 'epsilon',
    schedule: {
      ...stableDiffusionSchedule,
      betaStart: params.linear_start,
      betaEnd: params.linear_end,
      numTrainTimesteps: params.timesteps,
    },
  };
}
