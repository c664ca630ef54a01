/**
 * @file Trains the autoencoder: `node --conditions=@sdft/source tools/nano/training/autoencoder.ts RUN [--minutes N]`. RUN is a folder that holds `start`, the random weights of
 * model/start.ts, and `pictures.pack`; the run lives in RUN/autoencoder and goes on where it ended.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpu } from '@sdft/tensor/node';
import { choices, imageSet } from '../data/imageSet.ts';
import { readPack } from '../data/pack.ts';
import { now } from './clock.ts';
import { trainFor } from './trainFor.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '120' },
    threads: { type: 'string', default: '2' },
  },
});
const [folder] = positionals as [string];
await trainFor({
  recipe: fileURLToPath(new URL('autoencoder.yaml', import.meta.url)),
  relativeTo: folder,
  images: imageSet(readPack(join(folder, 'pictures.pack')), choices.autoencoder),
  backend: cpu({ threads: Number(values.threads) }),
  folder: join(folder, 'autoencoder'),
  end: now() + 60 * Number(values.minutes),
  shape: { rise: 0.01, fall: 0.3 },
  saveEvery: 300,
  states: true,
  save: async (run) => {
    await run.save(join(folder, 'autoencoder-model'), { force: true });
  },
});
