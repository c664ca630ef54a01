import { UserError, type Weight } from '@sdft/tensor';
import { conform } from './conform.ts';
import { expectedTensors } from './expectedTensors.ts';
import type { ModelConfigs } from './family.ts';
import { castWeight, type FloatType } from './floats.ts';

/** The parts of a Stable Diffusion model, wherever they came from: what is written as a checkpoint. */
export interface Model extends ModelConfigs {
  /** Tensors by their paths: diffusers' names below `unet.`, `text_encoder.` and `vae.`. */
  readonly weights: ReadonlyMap<string, Weight>;
  /** Folder of its own tokenizer; undefined: CLIP's. */
  readonly tokenizerFolder?: string;
}

/**
 * The tensors to write, checked against the configurations.
 *
 * @param dtype what all of them are stored as; undefined leaves each as it is
 * @throws UserError where one is missing or has another shape
 */
export function weightsToWrite(
  model: Model,
  where: string,
  dtype?: FloatType,
): Map<string, Weight> {
  const weights = conform(model.weights, expectedTensors(model), where);
  for (const [path, weight] of weights) {
    if (dtype) weights.set(path, castWeight(weight, dtype, path));
  }
  return weights;
}

/** The one type in which a part of a model is stored. Throws UserError where there are several and none was asked for. */
export function dtypeOf(weights: Iterable<Weight>): FloatType {
  const types = new Set<string>();
  for (const { dtype } of weights) types.add(dtype);
  const [dtype = 'f32'] = types;
  if (types.size > 1) return 'f32';
  if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16')
    throw new UserError(
      `weights stored as ${dtype} are not written as they are; choose f32, f16 or bf16`,
    );
  return dtype;
}
