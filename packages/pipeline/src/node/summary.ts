/** @file What a run came to: `summary.json` in its folder. */
import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';

/** What `summary.json` holds. */
export interface Summary {
  readonly base: {
    /** As the recipe names it, a path made absolute. */
    readonly name: string;
    /** By `baseHash`. */
    readonly hash: string;
  };
  /** The method, or the adapters of a run without one. */
  readonly method: string;
  /** Trained numbers. */
  readonly parameters: number;
  /** Steps done. */
  readonly steps: number;
  /** Wall time of those steps, added up over resumes. */
  readonly seconds: number;
  /** Bytes: the most that the process that wrote this had in memory, mapped files included. */
  readonly peakMemory: number;
  /** What was learned. Paths are seen from the run's folder, if they can be; the bytes of a folder are those of all its files. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** Of sdft. */
  readonly version: string;
}

/** The version of this package. */
export function version(): string {
  const read = createRequire(import.meta.url);
  return (read('@sdft/pipeline/package.json') as { version: string }).version;
}

/** Bytes: the most that this process has had in memory. */
export const peakMemory = (): number => 1024 * process.resourceUsage().maxRSS;

/** Files and folders with their sizes, seen from `folder`. */
export async function sized(
  paths: readonly string[],
  folder: string,
): Promise<{ readonly path: string; readonly bytes: number }[]> {
  const found = [];
  for (const path of paths)
    found.push({
      path: relative(folder, path).replaceAll('\\', '/'),
      bytes: await bytesOnDisk(path),
    });
  return found;
}

/** Bytes of a file, or of all files below a folder. */
export async function bytesOnDisk(path: string): Promise<number> {
  const about = await stat(path);
  if (!about.isDirectory()) return about.size;
  let bytes = 0;
  for (const name of await readdir(path)) bytes += await bytesOnDisk(join(path, name));
  return bytes;
}
