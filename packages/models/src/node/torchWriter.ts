import { UserError } from '@sdft/tensor';
import { Zip, ZipPassThrough } from 'fflate';
import { pickleTorch } from '../checkpoint/pickleWriter.ts';
import type { PythonValue } from '../checkpoint/pythonValue.ts';
import { elementCount, elementSize } from '../checkpoint/storageType.ts';
import { type WriteOptions, writeFileWhole } from './atomicWrite.ts';

/**
 * Saves a value as `torch.save` does: a zip of `data.pkl`, `data/N` and `version`, and nothing else, because A1111's reader refuses every other
 * member. Loads with `torch.load(weights_only=True)`. Tensors are read one after the other; the same value gives the same bytes.
 *
 * @param value Map for dict, OrderedDict, array for list, Tuple, Weight for tensor, texts, numbers (whole ones are ints, `new Float(1)` is a float), booleans, null
 * @throws UserError where the value cannot be pickled, is larger than 4 GB, or the file exists (without `force`) or cannot be written
 */
export async function writeTorch(
  path: string,
  value: PythonValue,
  options: WriteOptions = {},
): Promise<void> {
  const { bytes, storages } = pickleTorch(value);
  const size = storages.reduce(
    (sum, weight) => sum + elementCount(weight.shape) * elementSize[weight.dtype] + 512,
    bytes.length,
  );
  if (size > 0xffff0000) {
    throw new UserError(
      `${path}: ${size} bytes of tensors do not fit into PyTorch's format here (4 GB at most); write .safetensors`,
    );
  }
  const members = function* (): Generator<readonly [string, Uint8Array]> {
    yield ['archive/data.pkl', bytes];
    for (const [key, weight] of storages.entries()) yield [`archive/data/${key}`, weight.read()];
    yield ['archive/version', new TextEncoder().encode('3\n')];
  };
  await writeFileWhole(path, zipStored(members()), options);
}

function* zipStored(members: Iterable<readonly [string, Uint8Array]>): Generator<Uint8Array> {
  let ready: Uint8Array[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    ready.push(chunk);
  });
  const drain = function* (): Generator<Uint8Array> {
    const chunks = ready;
    ready = [];
    yield* chunks;
  };
  for (const [name, bytes] of members) {
    const member = new ZipPassThrough(name);
    // The first day of the zip format: the same value must give the same bytes.
    member.mtime = new Date(1980, 0, 1);
    zip.add(member);
    member.push(bytes, true);
    yield* drain();
  }
  zip.end();
  yield* drain();
}
