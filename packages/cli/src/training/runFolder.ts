import { existsSync } from 'node:fs';
import { basename, extname, join } from 'node:path';

/**
 * Where a run lives: the folder that is resumed, the one that was named, or a new one in `runs/`, called after the result.
 * @param name of the result's file, or of the method
 */
export function runFolder(
  name: string,
  { resume, logDir }: { readonly resume?: string; readonly logDir?: string },
): string {
  if (resume !== undefined) return resume;
  if (logDir !== undefined) return logDir;
  const stem = basename(name, extname(name)) || 'run';
  let folder = join('runs', stem);
  for (let next = 2; existsSync(folder); next++) folder = join('runs', `${stem}-${next}`);
  return folder;
}
