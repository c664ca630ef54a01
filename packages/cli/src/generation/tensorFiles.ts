import { readFloat32, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import { hostArray, type HostArray, UserError, type Weight } from '@sdft/tensor';

/** Ids of prompts and negative prompts, a row for each picture. */
export interface PromptIds {
  readonly cond: number[][];
  readonly uncond: number[][];
}

/**
 * Reads `cond_ids` and `uncond_ids` [B,L].
 * @param count ids that the base and the trained words have
 * @param window ids that the text encoder takes at once; L is a multiple of it
 * @throws UserError naming file and tensor
 */
export function readPromptIds(file: string, count: number, window: number): PromptIds {
  const [cond, uncond] = ['cond_ids', 'uncond_ids'].map((name) => {
    const weight = tensorIn(file, name);
    const [rows = 0, length = 0] = weight.shape;
    if (weight.shape.length !== 2 || rows < 1 || length < 1 || length % window !== 0)
      throw new UserError(
        `${file}: tensor ${name} must be [B, ${window}] or a multiple of ${window} long, and is [${weight.shape.join(', ')}]`,
      );
    const found = readFloat32(weight);
    const wrong = found.find((id) => !Number.isInteger(id) || id < 0 || id >= count);
    if (wrong !== undefined)
      throw new UserError(
        `${file}: tensor ${name} holds ${wrong}; there are ids 0 to ${count - 1}`,
      );
    return Array.from({ length: rows }, (_, i) => [
      ...found.subarray(i * length, (i + 1) * length),
    ]);
  }) as [number[][], number[][]];
  if (cond.length !== uncond.length || cond[0]!.length !== uncond[0]!.length)
    throw new UserError(`${file}: cond_ids and uncond_ids must have the same shape`);
  return { cond, uncond };
}

/** Reads `latents` [B,C,h,w], unit Gaussian noise. Throws UserError naming file and tensor. */
export const readLatents = (file: string, channels: number): HostArray =>
  noiseIn(file, 'latents', tensorIn(file, 'latents'), channels);

/** Reads `low_res_noise` [B,C,h,w], unit Gaussian noise; undefined where the file has none. Throws UserError naming file and tensor. */
export function readLowResNoise(file: string, channels: number): HostArray | undefined {
  const weight = openSafetensors(file).tensors.get('low_res_noise');
  return weight && noiseIn(file, 'low_res_noise', weight, channels);
}

function noiseIn(file: string, name: string, weight: Weight, channels: number): HostArray {
  const { shape } = weight;
  if (shape.length !== 4 || shape[1] !== channels || shape.some((length) => length < 1))
    throw new UserError(
      `${file}: tensor ${name} must be [B, ${channels}, h, w], and is [${shape.join(', ')}]`,
    );
  const values = Float32Array.from(readFloat32(weight));
  if (values.some((value) => !Number.isFinite(value)))
    throw new UserError(`${file}: tensor ${name} holds NaN or infinity`);
  return hostArray(values, shape) as HostArray;
}

function tensorIn(file: string, name: string): Weight {
  const { tensors } = openSafetensors(file);
  const weight = tensors.get(name);
  if (weight) return weight;
  throw new UserError(
    `${file}: tensor ${name} is missing; it holds ${[...tensors.keys()].slice(0, 8).join(', ') || 'none'}`,
  );
}

/** Latents of several pictures, gathered as they come. */
export class LatentFile {
  readonly #parts = new Map<string, HostArray[]>();

  /** Adds latents [b,C,h,w], or [C,h,w] of one picture, to those of the same name. */
  add(name: string, latents: HostArray): void {
    const copy = hostArray(Float32Array.from(latents.data), latents.shape) as HostArray;
    this.#parts.set(name, [...(this.#parts.get(name) ?? []), copy]);
  }

  /** Writes everything, f32. Throws UserError where the file cannot be written. */
  async write(path: string, force: boolean): Promise<void> {
    const tensors = [...this.#parts].map(([name, parts]): [string, Weight] => {
      const values = Float32Array.from(parts.flatMap(({ data }) => [...data]));
      const one = parts[0]!.shape.slice(-3);
      const rows = values.length / one.reduce((product, length) => product * length, 1);
      return [name, weightOf('f32', [rows, ...one], new Uint8Array(values.buffer))];
    });
    await writeSafetensors(path, new Map(tensors), { force });
  }
}
