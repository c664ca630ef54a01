import { join } from 'node:path';
import { prepareFolder, type PreparedPicture } from '@sdft/data/node';
import type { PrepareFlags } from '../commands/prepare.ts';
import { UsageError } from '../failures/usageError.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';

/**
 * Makes the pictures of a folder ready, and says what became of them.
 *
 * @throws UserError
 */
export async function prepare(folder: string, flags: PrepareFlags): Promise<void> {
  const output = new Output(flags.json ?? false);
  const { out, resolution, fit, background, caption, prefix, underscoresToSpaces, force } = flags;
  if (background !== undefined && fit !== 'pad')
    throw new UsageError(`--background goes with --fit pad; it is ${fit}`);
  checkTarget('--out', out, force ?? false, 'folder');
  let line: ReturnType<Output['progress']> | undefined;
  const { pictures, warnings } = await prepareFolder(folder, out, {
    ...{ fit, background, caption, prefix, underscoresToSpaces, force },
    resolution: `${resolution.width}x${resolution.height}`,
    onPicture: (_, total) => {
      line ??= output.progress({ title: 'preparing', total });
      line.step({ steps: 1 });
    },
  }).finally(() => output.end());
  for (const picture of pictures) output.record({ ...picture, file: join(out, picture.file) });
  for (const warning of warnings) output.warn(warning);
  output.print(`${out}: ${counted(pictures.length, 'picture')}, ${sizesOf(pictures)}`);
  output.print(`captions: ${captionsOf(pictures)}; each stands in a .txt that you can edit`);
}

/** "25 of 512 x 512", or how many there are of each size. */
function sizesOf(pictures: readonly PreparedPicture[]): string {
  const sizes = tally(pictures.map(({ size: { width, height } }) => `${width} x ${height} pixels`));
  if (sizes.size === 1) return [...sizes.keys()].join();
  return [...sizes].map(([size, count]) => `${count} of ${size}`).join(', ');
}

const sources = { file: 'from a .txt', name: 'from the file name', given: 'from --caption' };

const captionsOf = (pictures: readonly PreparedPicture[]): string =>
  [...tally(pictures.map(({ captionFrom }) => captionFrom))]
    .map(([from, count]) => `${count} ${sources[from]}`)
    .join(', ');

function tally<K>(keys: readonly K[]): Map<K, number> {
  const counts = new Map<K, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
