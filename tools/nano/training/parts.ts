/** @file A trained model in a few small files, as it is brought back from another machine; model/assemble.ts makes a folder of them. */
import { join } from 'node:path';
import { type FloatType, fromFloat32, readFloat32, weightOf } from '@sdft/models';
import { writeSafetensors } from '@sdft/models/node';
import type { AdapterState } from '@sdft/methods';
import type { Weight } from '@sdft/tensor';

/** Bytes of a file at most. */
const MOST = 12e6;

/** Trained values as weights, by their full paths. */
export const weightsOf = (state: AdapterState): Map<string, Weight> =>
  new Map(
    [...state].flatMap(([key, parameters]) =>
      Object.entries(parameters).map(([name, { data, shape }]) => [
        `${key}.${name}`,
        weightOf('f32', shape, fromFloat32(data as Float32Array, 'f32')),
      ]),
    ),
  );

/** Writes `NAME.safetensors`, all as `dtype`. */
export async function writePart(
  folder: string,
  name: string,
  weights: ReadonlyMap<string, Weight>,
  dtype: FloatType,
): Promise<void> {
  const cast = [...weights].map(
    ([path, weight]) =>
      [path, weightOf(dtype, weight.shape, fromFloat32(readFloat32(weight), dtype))] as const,
  );
  await writeSafetensors(join(folder, `${name}.safetensors`), new Map(cast), { force: true });
}

/** Writes weights as f32 to `NAME-0.safetensors`, `NAME-1.safetensors`, ..., none of them large. */
export async function writeSplit(
  folder: string,
  name: string,
  weights: ReadonlyMap<string, Weight>,
): Promise<void> {
  const files: Map<string, Weight>[] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const [path, weight] of weights) {
    const own = 4 * weight.shape.reduce((n, d) => n * d, 1);
    if (bytes + own > MOST) {
      files.push(new Map());
      bytes = 0;
    }
    bytes += own;
    files.at(-1)!.set(path, weight);
  }
  for (const [i, file] of files.entries()) await writePart(folder, `${name}-${i}`, file, 'f32');
}

/** Those of weights that lie below a root (`unet`). */
export const below = (weights: ReadonlyMap<string, Weight>, root: string): Map<string, Weight> =>
  new Map([...weights].filter(([path]) => path.startsWith(`${root}.`)));
