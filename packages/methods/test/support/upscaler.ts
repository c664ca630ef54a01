import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { pathOf, temporaryFolder } from './fixtures.ts';

/** A very small x4 upscaler as a folder: that of fixtures/super-resolution, whose text encoder and tokenizer are those of fixtures/replay/sd2-base. */
export function upscaler(): string {
  const folder = join(temporaryFolder(), 'upscaler');
  cpSync(pathOf('fixtures/super-resolution/base'), folder, { recursive: true });
  for (const part of ['text_encoder', 'tokenizer'])
    cpSync(pathOf(`fixtures/replay/sd2-base/${part}`), join(folder, part), { recursive: true });
  return folder;
}
