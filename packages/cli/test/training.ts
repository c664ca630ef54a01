/** @file Short runs on the model that comes along. */
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathOf } from './sdft.ts';

/** A folder of a few small pictures. */
export function pictures(folder: string, count = 4): string {
  const source = pathOf('packages/nano/outline/train');
  const path = join(folder, 'pictures');
  mkdirSync(path, { recursive: true });
  const files = readdirSync(source).filter((file) => file.endsWith('.png'));
  for (const file of files.slice(0, count)) copyFileSync(join(source, file), join(path, file));
  return path;
}

/** The command line of a run that teaches a word from `images`. */
export const teach = (images: string, out: string, ...more: readonly string[]): string[] => [
  ...['train', 'textual-inversion', '--base', 'nano', '--images', images, '--token', '<x>'],
  ...['--init', 'boy', '--template', 'a flat drawing of {}', '--lr', '5e-3', '--seed', '7'],
  ...['--out', out, ...more],
];

/** The lines of a run without what depends on the clock. */
export const untimed = (lines: readonly Line[]) => lines.map(({ seconds: _, ...line }) => line);

export interface Line {
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  readonly gradNorm: number;
  readonly seconds: number;
}
