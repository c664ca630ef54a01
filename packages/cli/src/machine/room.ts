import { link, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { bytes } from '../terminal/quantities.ts';
import { type Finding, lineOf } from './check.ts';

/** An SD1 checkpoint's weights in f32, and a little to work with. */
const MEMORY_FOR_SD1 = 6e9;
const ROOM_FOR_TEMPORARY_FILES = 5e9;

/** Memory: all of it, and what this process may still take (a container's limit counts). */
export function memory(): Finding {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(totalmem(), limit) : totalmem();
  const available = process.availableMemory();
  const poor = available < MEMORY_FOR_SD1;
  return {
    name: 'memory',
    state: poor ? 'poor' : 'ok',
    found: `${bytes(total)}, ${bytes(available)} available`,
    facts: { total, available },
    ...(poor && {
      mend: `a model of SD1's size needs about ${bytes(MEMORY_FOR_SD1)} to train at 256 pixels: end other programs, or train a smaller model; \`sdft train ... --backend null\` says what a run needs`,
    }),
  };
}

/** Room on the disks of the working directory and of temporary files. */
export async function disk(): Promise<Finding> {
  const places = { here: process.cwd(), temporary: tmpdir() };
  const free = await Promise.all(
    Object.values(places).map(async (path) => {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    }),
  );
  const [here = 0, temporary = 0] = free;
  const poor = Math.min(here, temporary) < ROOM_FOR_TEMPORARY_FILES;
  return {
    name: 'disk',
    state: poor ? 'poor' : 'ok',
    found: `${bytes(here)} free here, ${bytes(temporary)} in ${places.temporary}`,
    facts: { ...places, freeHere: here, freeTemporary: temporary },
    ...(poor && {
      mend: `large models want ${bytes(ROOM_FOR_TEMPORARY_FILES)}: make room, or point TMPDIR to a larger disk`,
    }),
  };
}

/** Temporary files: can be written, and linked (which keeps a finished file from replacing one that appeared meanwhile). */
export async function temporaryFiles(): Promise<Finding> {
  const name = 'temporary files';
  const folder = tmpdir();
  let made: string | undefined;
  try {
    made = await mkdtemp(join(folder, 'sdft-doctor-'));
    await writeFile(join(made, 'a'), 'a');
  } catch (error) {
    if (made !== undefined) await rm(made, { recursive: true, force: true });
    return {
      name,
      state: 'broken',
      found: lineOf(error),
      mend: `let TMPDIR name a folder in which you may write`,
    };
  }
  try {
    await link(join(made, 'a'), join(made, 'b'));
    return { name, state: 'ok', found: `${folder} can be written, hard links work` };
  } catch (error) {
    return {
      name,
      state: 'poor',
      found: `${folder} has no hard links (${lineOf(error)}); files are renamed instead`,
      mend: 'nothing to do, unless two programs write the same files; a TMPDIR on a local disk has hard links',
    };
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}
