import type { TensorFile } from '../checkpoint/safetensors.ts';
import { readSafetensors } from '../checkpoint/safetensors.ts';
import { stateDictOf } from '../checkpoint/stateDict.ts';
import { fileSource } from './fileSource.ts';
import { openTorch, torchFormat } from './torchFile.ts';

/**
 * Opens a file of named tensors, safetensors or PyTorch's; its content decides which, not its name.
 *
 * @throws UserError naming the file
 */
export async function openTensorFile(path: string): Promise<TensorFile> {
  const source = fileSource(path);
  if (
    torchFormat(source) === undefined &&
    (isSafetensors(source) || /\.(safetensors|sft)$/i.test(path))
  ) {
    return readSafetensors(source);
  }
  const { value } = await openTorch(path);
  return { tensors: stateDictOf(value, path), metadata: {} };
}

/** Whether a file begins as safetensors does: a length below 100 MB, then `{`. */
export function isSafetensors(source: ReturnType<typeof fileSource>): boolean {
  if (source.size < 9) return false;
  const head = source.read(0, 9);
  return head[8] === 0x7b && head.subarray(4, 8).every((byte) => byte === 0);
}
