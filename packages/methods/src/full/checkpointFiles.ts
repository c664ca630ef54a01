import { type FloatType, fromFloat32, readFloat32, weightOf } from '@sdft/models';
import { openCheckpoint } from '@sdft/models/node';
import type { AdapterFiles, AdapterState, Base, Parameters } from '@sdft/pipeline';
import {
  hostArray,
  type HostArray,
  internal,
  type StateValue,
  UserError,
  type Weight,
} from '@sdft/tensor';
import { modelEndings, writeWholeModel } from '../files/wholeModel.ts';

/** What the weights of a checkpoint can be stored as. */
export type CheckpointDtype = FloatType;

/**
 * Files of whole models: the base with what was trained in place of its own. A path that ends in `.safetensors` or `.ckpt` is a single file in the layout of
 * CompVis and Stability, one without ending a folder in diffusers layout.
 *
 * @param dtype what all weights are stored as; by default the trained ones are f32 and the others as they are
 */
export function checkpointFiles(dtype: CheckpointDtype | undefined): AdapterFiles {
  return {
    endings: modelEndings,
    async save(state, path, about) {
      const { model: base, force } = about;
      if (!base) throw internal('a checkpoint is saved without its base');
      await writeWholeModel(path, base, trainedWeights(state, base), { dtype, force });
    },
    async load(path, shapes) {
      // What it predicts plays no part in its weights.
      const { weights } = await openCheckpoint(path, { predictionType: 'epsilon' });
      return new Map(
        [...shapes].map(([key, parameters]) => [key, valuesAt(path, key, parameters, weights)]),
      );
    },
  };
}

/** The weights of the base, trained values in their places. */
function trainedWeights(state: AdapterState, base: Base): Map<string, Weight> {
  const weights = new Map(base.weights);
  for (const [key, parameters] of state)
    for (const [name, { data, shape }] of Object.entries(parameters)) {
      const path = `${key}.${name}`;
      if (!weights.has(path)) throw internal(`${path} was trained, the base has none`);
      weights.set(path, weightOf('f32', shape, fromFloat32(data as Float32Array, 'f32')));
    }
  return weights;
}

function valuesAt(
  path: string,
  key: string,
  parameters: Parameters<readonly number[]>,
  weights: ReadonlyMap<string, Weight>,
): Parameters<StateValue> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, shape]) => {
      const weight = weights.get(`${key}.${name}`);
      if (!weight || String(weight.shape) !== String(shape))
        throw new UserError(
          `${path}: ${key}.${name} is ${weight ? `[${weight.shape.join(', ')}]` : 'missing'}, this run trains [${shape.join(', ')}]: it is another kind of model`,
        );
      return [name, () => hostArray(readFloat32(weight), shape) as HostArray];
    }),
  );
}
