import { extname } from 'node:path';
import { fromFloat32, readFloat32, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import { hostArray, type HostArray, nearest, UserError } from '@sdft/tensor';
import type { AdapterFiles, Parameters } from '../contracts.ts';

/** Files of adapters that bring no layout of their own: one safetensors file of tensors `KEY.PARAMETER`. */
export const trainableFile: AdapterFiles = {
  endings: ['.safetensors', '.sft'],
  async save(state, path, { step, base, force }) {
    if (!/\.(safetensors|sft)$/i.test(path))
      throw new UserError(
        `${path}: what this adapter learns is written as .safetensors${extname(path) === '' ? '' : `, not ${extname(path)}`}`,
      );
    const weights = new Map(
      [...state].flatMap(([key, parameters]) =>
        Object.entries(parameters).map(([name, { data, shape }]) => [
          `${key}.${name}`,
          weightOf('f32', shape, fromFloat32(data as Float32Array, 'f32')),
        ]),
      ),
    );
    await writeSafetensors(path, weights, {
      metadata: { step: String(step), base },
      force,
    });
  },
  async load(path, shapes) {
    const { tensors } = openSafetensors(path);
    const left = new Set(tensors.keys());
    const state = new Map<string, Parameters<HostArray>>();
    for (const [key, parameters] of shapes) {
      const values = Object.entries(parameters).map(([parameter, shape]) => {
        const name = `${key}.${parameter}`;
        const weight = tensors.get(name);
        left.delete(name);
        if (!weight) {
          const close = nearest(name, tensors.keys());
          throw new UserError(
            `${path}: holds no ${name}${close === undefined ? '' : `; the nearest is ${close}`}`,
          );
        }
        if (String(weight.shape) !== String(shape))
          throw new UserError(
            `${path}: ${name} is [${weight.shape.join(', ')}], this run needs [${shape.join(', ')}]`,
          );
        return [parameter, hostArray(readFloat32(weight), shape) as HostArray] as const;
      });
      state.set(key, Object.fromEntries(values));
    }
    const [unknown] = left;
    if (unknown !== undefined)
      throw new UserError(`${path}: holds ${unknown}, which this run does not train`);
    return state;
  },
};
