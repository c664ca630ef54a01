import { internal, type Weight } from '@sdft/tensor';
import { layOut, readSafetensors, type TensorFile } from '../checkpoint/safetensors.ts';
import { type WriteOptions, writeFileWhole } from './atomicWrite.ts';
import { fileSource } from './fileSource.ts';

/**
 * Opens a safetensors file: the header is read and checked, each tensor is read when asked for.
 *
 * @throws UserError naming file and tensor
 */
export function openSafetensors(path: string): TensorFile {
  return readSafetensors(fileSource(path));
}

/**
 * Writes a safetensors file, tensor after tensor; each is read only when its turn comes. The same tensors and metadata give the
 * same bytes.
 *
 * @throws UserError where the file exists (without `force`) or cannot be written; nothing is left behind then
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Weight>,
  options: WriteOptions & { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  await writeFileWhole(path, safetensorsChunks(tensors, options.metadata ?? {}), options);
}

function* safetensorsChunks(
  tensors: ReadonlyMap<string, Weight>,
  metadata: Readonly<Record<string, string>>,
): Generator<Uint8Array> {
  const { head, order, size } = layOut(tensors, metadata);
  yield head;
  let written = head.length;
  for (const name of order) {
    const bytes = tensors.get(name)!.read();
    written += bytes.length;
    yield bytes;
  }
  if (written !== size) throw internal(`${written} bytes written for a file of ${size}`);
}
