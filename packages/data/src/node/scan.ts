import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { extname, join, parse } from 'node:path';
import { reason, UserError } from '../errors.ts';

/** The extensions of the pictures that count, in lower case. */
export const EXTENSIONS: readonly string[] = ['.jpg', '.jpeg', '.png', '.webp'];

/** What a folder holds. */
export interface Scan {
  /** File names of the pictures, in the order of their UTF-8 bytes (Unicode form C). */
  readonly pictures: readonly string[];
  /** Caption files by the stem they share with a picture: stem -> file name. */
  readonly captions: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

/**
 * Looks through a folder, not into the folders inside it. Hidden files (a dot in front) are left out without a word.
 * @throws UserError when the folder is missing, is a file, cannot be read, or holds no picture that counts.
 */
export async function scanFolder(folder: string): Promise<Scan> {
  const entries = await visible(folder);
  const files = await filesIn(folder, entries);
  const others = Array<string>(entries.length - files.length).fill('folders or dead links');
  const pictures = picturesOf(files);
  const texts = files.filter((name) => extension(name) === '.txt');
  for (const name of files) {
    const kind = extension(name);
    if (!EXTENSIONS.includes(kind) && kind !== '.txt')
      others.push(kind === '' ? 'without extension' : kind);
  }
  if (pictures.length === 0) {
    const found =
      entries.length === 0
        ? 'it is empty'
        : `it holds ${counted([...others, ...texts.map(() => '.txt')])}`;
    throw new UserError(
      `${folder} has no pictures: ${found}; files that end in ${EXTENSIONS.join(', ')} count, directly inside the folder`,
    );
  }
  return {
    pictures,
    captions: captionsByStem(texts),
    warnings: [...leftOut(folder, others), ...withoutPicture(folder, pictures, texts)],
  };
}

/**
 * File names of the pictures in a folder, in the order in which `openImages` takes them; none where there is no such folder.
 * @throws UserError when it is a file or cannot be read
 */
export async function picturesIn(folder: string): Promise<readonly string[]> {
  const there = await stat(folder).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  );
  return there ? picturesOf(await filesIn(folder, await visible(folder))) : [];
}

/** What is in a folder and not hidden. */
const visible = async (folder: string): Promise<Dirent[]> =>
  (await listed(folder)).filter(({ name }) => !name.startsWith('.'));

const picturesOf = (files: readonly string[]): string[] =>
  files.filter((name) => EXTENSIONS.includes(extension(name))).sort(byBytes);

/** Names of the entries that are files; links are followed. */
async function filesIn(folder: string, entries: readonly Dirent[]): Promise<string[]> {
  const files: string[] = [];
  for (const entry of entries) if (await isFile(folder, entry)) files.push(entry.name);
  return files;
}

async function listed(folder: string): Promise<Dirent[]> {
  const found = await stat(folder).catch((error: unknown) => {
    throw new UserError(`the folder of pictures ${folder} cannot be opened: ${reason(error)}`);
  });
  if (!found.isDirectory()) {
    throw new UserError(`${folder} is a file: name the folder that holds the pictures`);
  }
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new UserError(`the folder of pictures ${folder} cannot be read: ${reason(error)}`);
  });
}

/** Links are followed; one that leads nowhere is no file. */
async function isFile(folder: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isFile();
  return stat(join(folder, entry.name)).then(
    (found) => found.isFile(),
    () => false,
  );
}

function extension(name: string): string {
  return extname(name).toLowerCase();
}

/** macOS may hand names over decomposed (form D); the order must not depend on it. */
function byBytes(a: string, b: string): number {
  const composed = Buffer.compare(Buffer.from(a.normalize('NFC')), Buffer.from(b.normalize('NFC')));
  return composed === 0 ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : composed;
}

function captionsByStem(texts: readonly string[]): Map<string, string> {
  const byStem = new Map<string, string>();
  for (const name of [...texts].sort(byBytes)) byStem.set(parse(name).name, name);
  return byStem;
}

function leftOut(folder: string, others: readonly string[]): string[] {
  if (others.length === 0) return [];
  return [`${folder}: left out ${counted(others)}; ${EXTENSIONS.join(', ')} count`];
}

function withoutPicture(
  folder: string,
  pictures: readonly string[],
  texts: readonly string[],
): string[] {
  const stems = new Set(pictures.map((name) => parse(name).name));
  const lonely = texts.filter((name) => !stems.has(parse(name).name));
  if (lonely.length === 0) return [];
  return [
    `${folder}: no picture belongs to the caption ${lonely.length === 1 ? 'file' : 'files'} ${some(lonely)}`,
  ];
}

/** "1 .gif, 2 .heic" */
function counted(kinds: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const kind of [...kinds].sort()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
}

/** The first of a list of names, and how many more there are. */
export function some(names: readonly string[], most = 5): string {
  const more = names.length - most;
  return names.slice(0, most).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
