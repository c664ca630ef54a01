import { pickleTorch } from '../checkpoint/pickleWriter.ts';
import type { PythonValue } from '../checkpoint/pythonValue.ts';
import { type WriteOptions, writeFileWhole } from './atomicWrite.ts';
import { zipStored } from './zipWriter.ts';

/**
 * Saves a value as `torch.save` does: a zip of `data.pkl`, `data/N` and `version`, and nothing else, because A1111's reader refuses every other
 * member. Loads with `torch.load(weights_only=True)`. Tensors are read one after the other; the same value gives the same bytes.
 *
 * @param value Map for dict, OrderedDict, array for list, Tuple, Weight for tensor, texts, numbers (whole ones are ints, `new Float(1)` is a float), booleans, null
 * @throws UserError where the value cannot be pickled, or the file exists (without `force`) or cannot be written
 */
export async function writeTorch(
  path: string,
  value: PythonValue,
  options: WriteOptions = {},
): Promise<void> {
  const { bytes, storages } = pickleTorch(value);
  const members = function* (): Generator<readonly [string, Uint8Array]> {
    yield ['archive/data.pkl', bytes];
    for (const [key, weight] of storages.entries()) yield [`archive/data/${key}`, weight.read()];
    yield ['archive/version', new TextEncoder().encode('3\n')];
  };
  await writeFileWhole(path, zipStored(members()), options);
}
