/** @file Paths and commands as they are typed into a shell. */
import { isAbsolute, relative } from 'node:path';

/** A path as short as it can be said in the working directory. */
export function fromHere(path: string): string {
  const near = relative(process.cwd(), path);
  return near === '' || near.startsWith('..') || isAbsolute(near) ? path : near;
}

/** A command whose words a POSIX shell reads as they are. */
export const commandLine = (words: readonly string[]): string => words.map(quoted).join(' ');

/** Words of letters, digits and signs that no shell minds stay as they are. */
const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
