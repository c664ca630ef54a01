import { readFloat32 } from '@sdft/models';
import { type Checkpoint, openSafetensors } from '@sdft/models/node';
import { type HostArray, hostArray, UserError } from '@sdft/tensor';
import type { Module } from './modules.ts';

/**
 * Reads the inputs of a network, whatever floating-point or integer type they are stored as.
 * @throws UserError naming file and tensor where one is missing, of the wrong kind, or not finite
 */
export function readInputs(
  file: string,
  { inputs }: Module,
  checkpoint: Checkpoint,
): Record<string, HostArray> {
  const { tensors } = openSafetensors(file);
  return Object.fromEntries(
    Object.entries(inputs)
      .filter(([, { only }]) => only?.(checkpoint) ?? true)
      .map(([name, { dtype, shape }]) => {
        const weight = tensors.get(name);
        if (!weight)
          throw new UserError(
            `${file}: tensor ${name} ${shape} is missing; it holds ${[...tensors.keys()].slice(0, 8).join(', ') || 'none'}`,
          );
        if (weight.shape.some((length) => length === 0))
          throw new UserError(`${file}: tensor ${name} [${weight.shape.join(', ')}] is empty`);
        const values = readFloat32(weight);
        if (values.some((value) => !Number.isFinite(value)))
          throw new UserError(`${file}: tensor ${name} holds NaN or infinity`);
        if (dtype === 'f32') return [name, hostArray(values, weight.shape)];
        if (!values.every(Number.isInteger))
          throw new UserError(
            `${file}: tensor ${name} must hold whole numbers, and is ${weight.dtype}`,
          );
        return [name, hostArray(Int32Array.from(values), weight.shape)];
      }),
  );
}
