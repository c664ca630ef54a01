/** @file A LoRA of another rank that does nearly the same. */
import { readFloat32 } from '@sdft/models';
import { internal, UserError } from '@sdft/tensor';
import { product as lengthOf } from '../algorithms/algorithm.ts';
import type { LearnedLayer } from '../files/network.ts';
import { floats, type Layers } from '../files/writeNetwork.ts';
import { type Columns, jacobi, orthonormal, product, transposed } from './orthogonal.ts';

/**
 * How many singular values a layer keeps, up to the rank: those above the largest one divided by `value` (`sv_ratio`), as many as make up the part `value` of their sum
 * (`sv_cumulative`), or of the root of the sum of their squares (`sv_fro`).
 */
export interface RankRule {
  readonly name: (typeof rankRules)[number];
  readonly value: number;
}

/** Names of the rules, as kohya has them. */
export const rankRules = ['sv_ratio', 'sv_fro', 'sv_cumulative'] as const;

export interface ResizeOptions {
  /** Rank of linear layers; with a rule the largest one. */
  readonly rank: number;
  /** The same of convolutions. Default: `rank`. */
  readonly convRank?: number | undefined;
  readonly rule?: RankRule | undefined;
}

/** What became of a layer. */
export interface ResizedLayer {
  readonly path: string;
  readonly before: number;
  readonly rank: number;
  /** The part of the root of the squares of its singular values that is left. */
  readonly kept: number;
}

/** Singular values up to this are none. */
const SMALLEST = 1e-6;

/**
 * Each LoRA's change as its best approximation of another rank; scales stay, alpha follows the rank. Changes of other kinds, such as norms, stay as they are. Source: kohya-ss/sd-scripts
 * `networks/resize_lora.py`. The product is never made: its singular values are those of the factors' triangular parts.
 *
 * @throws UserError where the file holds LoHa, LoKr or a Tucker core, which have no rank to be changed
 */
export function resizeLora(
  layers: Layers,
  options: ResizeOptions,
  file: string,
): { readonly layers: Layers; readonly resized: readonly ResizedLayer[] } {
  const resized: ResizedLayer[] = [];
  const made = new Map<string, LearnedLayer>();
  for (const [path, layer] of layers) {
    const { algorithm, tensors } = layer;
    if (algorithm === 'loha' || algorithm === 'lokr' || 'lora_mid' in tensors)
      throw new UserError(
        `${file}: is ${algorithm === 'lora' ? 'LoCon with a Tucker core' : algorithm} at ${path}; resize is for LoRA: merge it into a base and extract it from there`,
      );
    if (algorithm !== 'lora') {
      made.set(path, layer);
      continue;
    }
    const { layer: smaller, about } = resizedLayer(path, layer, options);
    made.set(path, smaller);
    resized.push(about);
  }
  if (resized.length === 0)
    throw new UserError(`${file}: holds no LoRA whose rank could be changed`);
  return { layers: made, resized };
}

function resizedLayer(
  path: string,
  layer: LearnedLayer,
  { rank, convRank = rank, rule }: ResizeOptions,
): { readonly layer: LearnedLayer; readonly about: ResizedLayer } {
  const { lora_down: down, lora_up: up } = layer.tensors;
  if (!down || !up) throw internal(`${path}: LoRA without factors`);
  const before = down.shape[0]!;
  const [out, inner] = [lengthOf(up.shape) / before, lengthOf(down.shape) / before];
  const left = orthonormal(transposed(rowsOf(readFloat32(up), before)));
  const right = orthonormal(rowsOf(readFloat32(down), inner));
  // up down = Q (R R'^T) Q'^T
  const core = jacobi(product(left.r, transposed(right.r)));
  const short = Math.min(out, inner);
  const asked = down.shape.length === 4 ? convRank : rank;
  const count = Math.min(keptCount(core.s, asked, short, rule), short);
  const kept = <T>(items: readonly T[]): T[] => items.slice(0, count);
  const u = product(left.q, kept(core.u));
  const v = product(right.q, kept(core.v));
  // Beyond what there was, zeros.
  const [newUp, newDown] = [new Float32Array(out * count), new Float32Array(count * inner)];
  u.forEach((column, r) => {
    newDown.set(v[r]!, r * inner);
    for (let row = 0; row < out; row++) newUp[row * count + r] = column[row]! * core.s[r]!;
  });
  const whole = Math.hypot(...core.s);
  return {
    layer: {
      ...layer,
      tensors: {
        ...layer.tensors,
        lora_down: floats(newDown, [count, ...down.shape.slice(1)]),
        lora_up: floats(newUp, [out, count, ...up.shape.slice(2)]),
      },
    },
    about: {
      path,
      before,
      rank: count,
      kept: whole === 0 ? 1 : Math.hypot(...kept(core.s)) / whole,
    },
  };
}

/**
 * How many singular values are kept.
 *
 * @param values falling; those of the matrix beyond them are zero
 * @param most what the rule may not exceed, and what is kept without one
 * @param length how many the matrix has
 */
export function keptCount(
  values: readonly number[],
  most: number,
  length: number,
  rule: RankRule | undefined,
): number {
  if ((values[0] ?? 0) <= SMALLEST) return 1;
  if (!rule) return most;
  const index = Math.max(1, Math.min(indexOf(values, rule), length - 1));
  return Math.min(index + 1, most);
}

function indexOf(values: readonly number[], { name, value }: RankRule): number {
  if (name === 'sv_ratio') return values.filter((s) => s > values[0]! / value).length;
  const parts = name === 'sv_fro' ? values.map((s) => s * s) : values;
  const goal = name === 'sv_fro' ? value * value : value;
  const all = parts.reduce((sum, part) => sum + part, 0);
  let sum = 0;
  const place = parts.findIndex((part) => (sum += part) / all >= goal);
  return (place < 0 ? parts.length : place) + 1;
}

/** The rows of a row-major matrix, in double precision. */
const rowsOf = (data: Float32Array, length: number): Columns =>
  Array.from({ length: data.length / length }, (_, i) =>
    Float64Array.from(data.subarray(i * length, (i + 1) * length)),
  );
