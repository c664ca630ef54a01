import type { Shape, Tensor, TensorType } from '@sdft/tensor';
import { type AdamWOptions, adamwSettings, adamwUpdate } from './adamw.ts';
import { type DynamicMap, signedMap, unsignedMap } from './dynamicMap.ts';
import { number, settled } from './settings.ts';
import { mapNamed, type Named, type Optimizer, recipeOf, type UpdateCall } from './transform.ts';

export interface AdamW8bitOptions extends AdamWOptions {
  /** Parameters of fewer numbers keep their state in 32 bits. Default 4096. */
  readonly min8bitSize?: number | undefined;
}

export const adamw8bitSettings = {
  ...adamwSettings,
  min8bitSize: number(4096, {
    description: 'parameters of fewer numbers keep their state in 32 bits',
    least: 0,
    whole: true,
  }),
} as const;

/** Numbers that share a scale. */
const BLOCK = 256;
const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

/**
 * AdamW with its two means in 8 bits (Dettmers et al. 2022), as bitsandbytes' `AdamW8bit` computes it: blocks of 256 numbers in row-major order are divided by their largest
 * and kept as codes of the nearest values of a map with dynamic exponents, signed for the mean, unsigned for the mean of squares. The update itself is in f32, with means that
 * have not been rounded yet.
 *
 * States: `m.NAME` and `v.NAME`, u8 [blocks, 256], the last block filled up; `mScale.NAME` and `vScale.NAME`, f32 [blocks, 1]. Parameters of fewer than `min8bitSize` numbers
 * have `m.NAME` and `v.NAME` in f32, as `adamw` has. Codes are rounded to nearest as in bitsandbytes' generic form; its kernel for processors picks coarser ones for what is small.
 *
 * @throws UserError for settings out of range
 */
export function adamw8bit(options: AdamW8bitOptions): Optimizer {
  const { beta1, beta2, epsilon, weightDecay, min8bitSize } = settled(
    'adamw8bit',
    adamw8bitSettings,
    options,
  );
  const isSmall = (shape: Shape): boolean => sizeOf(shape) < min8bitSize;
  return {
    lr: options.lr,
    recipe: recipeOf('adamw8bit', options),
    numbers: {
      correction1: { at: (step) => 1 - beta1 ** (step + 1) },
      correction2: { at: (step) => 1 - beta2 ** (step + 1) },
    },
    init: (parameters) =>
      Object.fromEntries(
        Object.entries(parameters).flatMap(([name, shape]): [string, Shape | TensorType][] =>
          ['m', 'v'].flatMap((kind): [string, Shape | TensorType][] => {
            if (isSmall(shape)) return [[`${kind}.${name}`, shape]];
            const blocks = Math.ceil(sizeOf(shape) / BLOCK);
            return [
              [`${kind}.${name}`, { shape: [blocks, BLOCK], dtype: 'u8' }],
              [`${kind}Scale.${name}`, [blocks, 1]],
            ];
          }),
        ),
      ),
    update({ gradients, parameters, state, numbers, lr, weightDecay: own = {} }) {
      const next: Record<string, Tensor> = {};
      const moved = mapNamed(parameters, (parameter, name) => {
        const small = isSmall(parameter.shape);
        const g = small ? gradients[name]! : inBlocks(gradients[name]!);
        const mean = (kind: 'm' | 'v', map: DynamicMap): Tensor =>
          small ? state[`${kind}.${name}`]! : decoded(state, kind, name, map);
        const [p, m, v] = adamwUpdate(
          [
            small ? parameter : inBlocks(parameter),
            g,
            mean('m', signedMap),
            mean('v', unsignedMap),
            lr[name]!,
            numbers['correction1']!,
            numbers['correction2']!,
          ],
          { beta1, beta2, epsilon, weightDecay: own[name] ?? weightDecay },
        );
        if (small) Object.assign(next, { [`m.${name}`]: m!, [`v.${name}`]: v! });
        else
          Object.assign(
            next,
            encoded('m', name, m!, signedMap),
            encoded('v', name, v!, unsignedMap),
          );
        return small ? p! : outOfBlocks(p!, parameter.shape);
      });
      return { parameters: moved as Named<Tensor>, state: next };
    },
  };
}

/** [blocks, 256], row-major, zeros at the end. */
function inBlocks(x: Tensor): Tensor {
  const blocks = Math.ceil(x.size / BLOCK);
  const rest = blocks * BLOCK - x.size;
  const flat = x.reshape([x.size]);
  return (rest === 0 ? flat : flat.pad([[0, rest]])).reshape([blocks, BLOCK]);
}

function outOfBlocks(x: Tensor, shape: Shape): Tensor {
  const size = sizeOf(shape);
  const flat = x.reshape([x.size]);
  return (size === x.size ? flat : flat.slice(0, 0, size)).reshape(shape);
}

function decoded(state: UpdateCall['state'], kind: string, name: string, map: DynamicMap): Tensor {
  return map.decode(state[`${kind}.${name}`]!).mul(state[`${kind}Scale.${name}`]!);
}

function encoded(kind: string, name: string, x: Tensor, map: DynamicMap): Record<string, Tensor> {
  const largest = x.abs().max(-1, { keepDims: true });
  // A block of zeros has any code, times a scale of 0.
  const scaled = x.mul(largest.greater(0).where(largest.reciprocal(), 0));
  return { [`${kind}.${name}`]: map.encode(scaled), [`${kind}Scale.${name}`]: largest };
}
