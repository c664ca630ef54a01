/** @file Which base a run started from, in few bytes. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { explainFileError } from '@sdft/models/node';
import type { Weight } from '@sdft/tensor';
import type { Base } from '../training/base.ts';

/** Bytes of a block; of a larger tensor three count. */
const BLOCK = 2 ** 16;

/**
 * A hash by which bases are told apart: SHA-256, in hexadecimal, over their settings and, tensor by tensor in the order of their names, over name, dtype, shape and bytes. Of tensors above 192 KiB
 * these are their first, middle and last 64 KiB, so that gigabytes take a second: two bases that differ only inside of a large tensor, such as in a few rows of the vocabulary, look alike.
 *
 * @throws UserError where a file cannot be read
 */
export async function baseHash({
  unet,
  textEncoder,
  vae,
  schedule,
  weights,
}: Pick<Base, 'unet' | 'textEncoder' | 'vae' | 'schedule' | 'weights'>): Promise<string> {
  const hash = createHash('sha256');
  hash.update(inOrder({ unet, textEncoder, vae, schedule: schedule.config }));
  for (const name of [...weights.keys()].sort()) {
    const weight = weights.get(name)!;
    hash.update(`${name} ${weight.dtype} ${weight.shape.join()}\n`);
    for (const block of await blocksOf(weight)) hash.update(block);
  }
  return hash.digest('hex');
}

/** JSON whose keys have one order, wherever they come from. */
const inOrder = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );

async function blocksOf(weight: Weight): Promise<Uint8Array[]> {
  const { file } = weight;
  if (!file) {
    const bytes = weight.read();
    return rangesOf(bytes.length).map(([from, length]) => bytes.subarray(from, from + length));
  }
  const handle = await open(file.path).catch((error: unknown) => {
    throw explainFileError(file.path, error);
  });
  try {
    const blocks: Uint8Array[] = [];
    for (const [from, length] of rangesOf(file.length)) {
      const { buffer, bytesRead } = await handle.read({
        buffer: new Uint8Array(length),
        position: file.offset + from,
      });
      blocks.push(buffer.subarray(0, bytesRead));
    }
    return blocks;
  } finally {
    await handle.close();
  }
}

/** [start, length] of what counts of so many bytes. */
function rangesOf(length: number): (readonly [number, number])[] {
  if (length <= 3 * BLOCK) return [[0, length]];
  return [0, Math.floor((length - BLOCK) / 2), length - BLOCK].map(
    (from) => [from, BLOCK] as const,
  );
}
