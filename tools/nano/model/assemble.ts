/**
 * @file Makes a model in diffusers layout, f16, of what training/main.ts wrote: `node --conditions=@sdft/source tools/nano/model/assemble.ts OUT FOLDER`, with the files of OUT.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors, writeDiffusersFolder } from '@sdft/models/node';
import { nano } from './architecture.ts';

const [from, to] = process.argv.slice(2) as [string, string];
const { scalingFactor } = JSON.parse(readFileSync(join(from, 'progress.json'), 'utf8')) as {
  scalingFactor: number;
};
const weights = new Map(
  ['unet', 'text_encoder', 'vae'].flatMap((part) => [
    ...openSafetensors(join(from, `${part}.safetensors`)).tensors,
  ]),
);
const tokenizerFolder = fileURLToPath(new URL('../tokenizer/files', import.meta.url));
const vae = { ...nano.vae, scalingFactor };
await writeDiffusersFolder(
  to,
  { ...nano, vae, weights, tokenizerFolder },
  { dtype: 'f16', force: true },
);
