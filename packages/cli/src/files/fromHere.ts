import { isAbsolute, relative } from 'node:path';

/** A path as short as it can be said in the working directory. */
export function fromHere(path: string): string {
  const near = relative(process.cwd(), path);
  return near === '' || near.startsWith('..') || isAbsolute(near) ? path : near;
}
