import { type FloatType, fromFloat32, readFloat32, weightOf } from '@sdft/models';
import { openCheckpoint, writeDiffusersFolder, writeLdmFile } from '@sdft/models/node';
import type { AboutFile, AdapterFiles, AdapterState, Parameters } from '@sdft/pipeline';
import {
  hostArray,
  type HostArray,
  internal,
  type StateValue,
  UserError,
  type Weight,
} from '@sdft/tensor';

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
    endings: ['', '.safetensors', '.ckpt'],
    async save(state, path, about) {
      const model = modelOf(state, about);
      const options = { force: about.force, ...(dtype && { dtype }) };
      if (/\.(safetensors|ckpt)$/i.test(path)) await writeLdmFile(path, model, options);
      else await writeDiffusersFolder(path, model, options);
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

/** The whole model, trained values in their places. */
function modelOf(state: AdapterState, { model: base }: AboutFile) {
  if (!base) throw internal('a checkpoint is saved without its base');
  const weights = new Map(base.weights);
  for (const [key, parameters] of state)
    for (const [name, { data, shape }] of Object.entries(parameters)) {
      const path = `${key}.${name}`;
      if (!weights.has(path)) throw internal(`${path} was trained, the base has none`);
      weights.set(path, weightOf('f32', shape, fromFloat32(data as Float32Array, 'f32')));
    }
  const { unet, textEncoder, vae, schedule, tokenizerFolder } = base;
  return {
    ...{ unet, textEncoder, vae, schedule: schedule.config, weights },
    ...(tokenizerFolder !== undefined && { tokenizerFolder }),
  };
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
