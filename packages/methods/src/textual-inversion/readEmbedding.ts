/** @file Embedding files of every tool, read. */
import { allTensors, readFloat32 } from '@sdft/models';
import { openSafetensors, openTorch } from '@sdft/models/node';
import { UserError, type Weight } from '@sdft/tensor';
import { readEmbeddingPicture } from './embeddingPicture.ts';

/** What a file of a Textual Inversion holds. */
export interface Embedding {
  /** [vectors, width], row-major. */
  readonly values: Float32Array;
  readonly vectors: number;
  readonly width: number;
  /** What the file calls it: diffusers' placeholder token, A1111's name. */
  readonly name: string | undefined;
  readonly layout: 'diffusers' | 'a1111' | 'a1111-picture' | 'kohya' | 'onetrainer' | 'clip_l';
}

/**
 * Reads an embedding: diffusers' `.safetensors` and `.bin`, A1111's `.pt` and pictures, kohya's `emb_params`, OneTrainer's `emp_params`, `clip_l` of SDXL's pairs.
 * Nothing in a file is executed.
 *
 * @throws UserError, naming the file, where it holds no embedding or more than one
 */
export async function readEmbedding(path: string): Promise<Embedding> {
  if (/\.png$/i.test(path)) return readEmbeddingPicture(path);
  if (/\.(safetensors|sft)$/i.test(path)) return pick(openSafetensors(path).tensors, path);
  const { value } = await openTorch(path);
  const name = value instanceof Map ? value.get('name') : undefined;
  const found = pick(allTensors(value, path), path);
  return { ...found, name: found.name ?? (typeof name === 'string' ? name : undefined) };
}

function pick(tensors: ReadonlyMap<string, Weight>, path: string): Embedding {
  const known = (
    [
      ['emb_params', 'kohya'],
      ['emp_params', 'onetrainer'],
      ['clip_l', 'clip_l'],
    ] as const
  ).find(([key]) => tensors.has(key));
  if (known)
    return embeddingOf(tensors.get(known[0])!, `${path}: ${known[0]}`, undefined, known[1]);

  const inA1111 = [...tensors].filter(([key]) => key.startsWith('string_to_param.'));
  const candidates = inA1111.length > 0 ? inA1111 : [...tensors];
  const [first, second] = candidates;
  if (!first) throw new UserError(`${path}: holds no tensor, so no embedding`);
  if (second)
    throw new UserError(
      `${path}: holds ${candidates.length} tensors (${first[0]}, ${second[0]}, ...), so it is no embedding of one word`,
    );
  const [key, weight] = first;
  return inA1111.length > 0
    ? embeddingOf(weight, `${path}: ${key}`, undefined, 'a1111')
    : embeddingOf(weight, `${path}: ${key}`, key === '' ? undefined : key, 'diffusers');
}

function embeddingOf(
  weight: Weight,
  where: string,
  name: string | undefined,
  layout: Embedding['layout'],
): Embedding {
  const shape = weight.shape.length === 1 ? [1, ...weight.shape] : weight.shape;
  const [vectors = 0, width = 0] = shape;
  if (shape.length !== 2 || vectors < 1 || width < 1)
    throw new UserError(
      `${where} has shape [${weight.shape.join(', ')}]; an embedding is [vectors, width]`,
    );
  const values = Float32Array.from(readFloat32(weight));
  return { values: finite(values, where), vectors, width, name, layout };
}

/** The same numbers. Throws UserError where one is not finite. */
export function finite(values: Float32Array, where: string): Float32Array {
  const broken = values.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw new UserError(`${where} holds ${values[broken]} at place ${broken}`);
  return values;
}
