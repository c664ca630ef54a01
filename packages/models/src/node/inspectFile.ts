import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { describe } from '../checkpoint/describe.ts';
import { readHeader } from '../checkpoint/safetensors.ts';
import { allTensors, plainEntries } from '../checkpoint/stateDict.ts';
import { safetensorsName } from '../checkpoint/storageType.ts';
import { readPart } from './diffusersFolder.ts';
import { attempt, explain, fileSource } from './fileSource.ts';
import { readJson } from './settingsFiles.ts';
import { isSafetensors } from './tensorFile.ts';
import { openTorch, torchFormat } from './torchFile.ts';

/** A tensor as `inspect` lists it: type as safetensors writes it, shape, and the sha256 of its little-endian row-major bytes if asked for. */
export type TensorLine =
  | readonly [dtype: string, shape: readonly number[]]
  | readonly [dtype: string, shape: readonly number[], sha256: string];

/** What is in a file or folder. */
export interface Inspection {
  readonly path: string;
  readonly format: 'safetensors' | 'torch-zip' | 'torch-legacy' | 'diffusers';
  /** In a few words. */
  readonly what: string;
  readonly tensors: Readonly<Record<string, TensorLine>>;
  /** safetensors: its texts. PyTorch: the numbers and texts at its top. diffusers: its config files by name. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** PyTorch: the classes and functions that the file names. None was called. */
  readonly names?: readonly string[];
  /** Of the whole file, if asked for. */
  readonly hashes?: FileHashes;
}

/** The hashes by which people and programs know checkpoints. Source: A1111 `modules/hashes.py`, `modules/sd_models.py`. */
export interface FileHashes {
  readonly sha256: string;
  /** First 10 digits of the sha256: what A1111 shows. */
  readonly short: string;
  /** A1111's hash of 2022: first 8 digits of the sha256 of 64 KiB from byte 1,048,576 on. */
  readonly legacy: string;
}

/**
 * Says what a file or a folder in diffusers layout holds. Nothing in it is executed.
 *
 * @param options hash: also compute the sha256 of every tensor and of the file, which reads all of it
 * @throws UserError where it cannot be read, is malformed, or names a function that runs programs or code
 */
export async function inspectFile(
  path: string,
  options: { readonly hash?: boolean } = {},
): Promise<Inspection> {
  const hash = options.hash ?? false;
  if (attempt(path, () => statSync(path)).isDirectory()) return await inspectFolder(path, hash);
  const hashes = hash ? { hashes: await hashFile(path) } : {};
  const source = fileSource(path);
  const format = torchFormat(source);
  if (format === undefined && (isSafetensors(source) || /\.(safetensors|sft)$/i.test(path))) {
    const { entries, metadata } = readHeader(source);
    const tensors = Object.fromEntries(
      entries.map(({ name, dtype, shape, offset, length }): [string, TensorLine] => [
        name,
        hash ? [dtype, shape, sha256(source.read(offset, length))] : [dtype, shape],
      ]),
    );
    return {
      path,
      format: 'safetensors',
      what: describe(Object.keys(tensors), metadata),
      tensors,
      metadata,
      ...hashes,
    };
  }
  const { value, names } = await openTorch(path);
  const tensors = lines(allTensors(value, path), hash);
  const metadata = plainEntries(value);
  return {
    path,
    format: format!,
    what: describe(Object.keys(tensors), metadata),
    tensors,
    metadata,
    names,
    ...hashes,
  };
}

/**
 * Computes the hashes of a file, piece by piece.
 *
 * @throws UserError where it cannot be read
 */
export async function hashFile(path: string): Promise<FileHashes> {
  const whole = createHash('sha256');
  const part = createHash('sha256');
  const from = 0x100000;
  const to = from + 0x10000;
  let at = 0;
  try {
    for await (const chunk of createReadStream(path, {
      highWaterMark: 2 ** 20,
    }) as AsyncIterable<Buffer>) {
      whole.update(chunk);
      part.update(chunk.subarray(Math.max(from - at, 0), Math.max(to - at, 0)));
      at += chunk.length;
    }
  } catch (error) {
    throw explain(path, error);
  }
  const digest = whole.digest('hex');
  return { sha256: digest, short: digest.slice(0, 10), legacy: part.digest('hex').slice(0, 8) };
}

async function inspectFolder(path: string, hash: boolean): Promise<Inspection> {
  const index = join(path, 'model_index.json');
  const tensors = new Map<string, Weight>();
  const metadata: Record<string, unknown> = existsSync(index)
    ? { model_index: readJson(index) }
    : {};
  for (const entry of attempt(path, () => readdirSync(path, { withFileTypes: true }))) {
    if (!entry.isDirectory()) continue;
    const folder = join(path, entry.name);
    for (const name of ['config.json', 'scheduler_config.json']) {
      if (existsSync(join(folder, name))) metadata[entry.name] = readJson(join(folder, name));
    }
    const part = await readPart(folder, ['diffusion_pytorch_model', 'model', 'pytorch_model']);
    for (const [name, weight] of part?.tensors ?? []) tensors.set(`${entry.name}.${name}`, weight);
  }
  if (tensors.size === 0)
    throw new UserError(`${path}: is no model in diffusers layout: no folder in it holds weights`);
  const { _class_name: pipeline } = (metadata.model_index ?? {}) as { _class_name?: unknown };
  const what = `folder in diffusers layout${typeof pipeline === 'string' ? `, ${pipeline}` : ''}`;
  return { path, format: 'diffusers', what, tensors: lines(tensors, hash), metadata };
}

function lines(tensors: ReadonlyMap<string, Weight>, hash: boolean): Record<string, TensorLine> {
  return Object.fromEntries(
    Array.from(tensors, ([name, weight]): [string, TensorLine] => {
      const dtype = safetensorsName[weight.dtype];
      return [name, hash ? [dtype, weight.shape, sha256(weight.read())] : [dtype, weight.shape]];
    }),
  );
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
