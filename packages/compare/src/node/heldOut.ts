/** @file How much of what the base knew was forgotten: its validation loss on kept-back pictures, before and after. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { picturesIn } from '@sdft/data/node';
import { validationLoss } from '@sdft/methods';
import type { Backend } from '@sdft/tensor';
import { UserError } from '@sdft/tensor';
import type { Drawer } from './openRun.ts';
import type { Content, Parts } from './parts.ts';

/** Pictures with captions, by folder and content. */
export interface HeldOut {
  readonly folder: string;
  readonly hash: string;
}

/** Throws UserError where there are no pictures. */
export async function openHeldOut(folder: string): Promise<HeldOut> {
  const names = await picturesIn(folder);
  if (names.length === 0)
    throw new UserError(
      `--held-out ${folder}: holds no pictures; name a folder of pictures with captions`,
    );
  const hash = createHash('sha256');
  for (const name of names) {
    const caption = await readFile(join(folder, name.replace(/\.[^.]*$/, '.txt'))).catch(() => '');
    hash
      .update(`${name}\n`)
      .update(await readFile(join(folder, name)))
      .update(caption);
  }
  return { folder, hash: hash.digest('hex') };
}

/** The loss of what draws a column on those pictures, at fixed noise and timesteps. Throws UserError where they do not fit it. */
export const heldOutLoss = (
  { base, learned, clipSkip }: Drawer,
  { folder, hash }: HeldOut,
  parts: Parts,
  what: Content,
  backend: Backend,
): Promise<number> =>
  parts.figure({ ...what, figure: 'validation loss', pictures: hash, clipSkip }, () =>
    validationLoss(base, learned, { images: folder, clipSkip, backend }),
  );
