import { readFile } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { decodeText, filewordsOf } from '../captions.ts';
import { reason, UserError } from '../errors.ts';
import type { Scan } from './scan.ts';

/** What is said of a picture, and where that stands. */
export interface Caption {
  readonly text: string;
  /** `file`: in the `.txt` beside it; `name`: in its own name. */
  readonly from: 'file' | 'name';
}

/** The caption of a picture of a folder. @throws UserError when its file cannot be read, is no UTF-8 or too long. */
export async function captionOf(folder: string, file: string, scan: Scan): Promise<Caption> {
  const stem = parse(file).name;
  const path = scan.captions.get(stem);
  if (path === undefined) return { text: filewordsOf(stem), from: 'name' };
  return { text: await readText(join(folder, path), 'the caption file'), from: 'file' };
}

/** The text of a small file. @throws UserError as `captionOf` does. */
export async function readText(path: string, what: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new UserError(`${what} ${path} cannot be read: ${reason(error)}`);
  });
  return decodeText(bytes, path);
}
