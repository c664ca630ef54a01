/** @file What has been drawn and measured so far, kept beside the report: a second call goes on from there. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join, parse } from 'node:path';
import { explainFileError, writeFileWhole } from '@sdft/models/node';
import { UserError } from '@sdft/tensor';

/** Says that a folder is one of these; nothing is written into any other. */
const MARK = 'sdft-compare.json';
/** Goes up when the same settings would give other pictures or figures. */
const VERSION = 1;

/** What a part is a function of. */
export type Content = Readonly<Record<string, unknown>>;

export class Parts {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Where the parts of a report lie: `REPORT.parts`. */
  static beside(report: string): string {
    return join(dirname(report), `${parse(report).name}.parts`);
  }

  /** Opens the folder, or makes it. Throws UserError where something else lies there, or it cannot be made. */
  static async open(folder: string): Promise<Parts> {
    const mark = join(folder, MARK);
    if (!existsSync(mark)) {
      const there = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [];
        throw explainFileError(folder, error);
      });
      if (there.length > 0)
        throw new UserError(
          `${folder}: holds other things than the parts of a report, which belong there; move them, or choose another --out`,
        );
      await mkdir(folder, { recursive: true }).catch((error: unknown) => {
        throw explainFileError(folder, error);
      });
      const text = `${JSON.stringify({ about: 'pictures and figures of sdft compare; may be deleted' })}\n`;
      await writeFileWhole(mark, [new TextEncoder().encode(text)], { force: true });
    }
    return new Parts(folder);
  }

  /** Path of a picture, there or not. */
  picture(content: Content): string {
    return join(this.folder, `${keyOf(content)}.png`);
  }

  /** A figure; where it is not there yet, `measure` makes it. */
  async figure<T>(content: Content, measure: () => Promise<T>): Promise<T> {
    const path = join(this.folder, `${keyOf(content)}.json`);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined) {
      try {
        return (JSON.parse(text) as { readonly value: T }).value;
      } catch {
        // Damaged: it is made again.
      }
    }
    const value = await measure();
    await writeFileWhole(path, [new TextEncoder().encode(`${JSON.stringify({ value })}\n`)], {
      force: true,
    });
    return value;
  }
}

const keyOf = (content: Content): string =>
  createHash('sha256')
    .update(JSON.stringify([VERSION, content]))
    .digest('hex')
    .slice(0, 40);
