/**
 * @file Trains the decoder of nano's autoencoder on, on the cpu, beside other work; encoder and latents stay as they are:
 *
 *     node --conditions=@sdft/source tools/nano/training/decoder.ts MODEL WORK --minutes 90
 *
 * MODEL is a folder in diffusers layout. WORK gets `model`, MODEL with what has been learned so far, and `decoder.json` with its figures. A second call goes on with what lies in WORK; a file
 * `stop` in WORK/decoder ends it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openBase } from '@sdft/methods';
import { cpu } from '@sdft/tensor/node';
import { choices, imageSet } from '../data/imageSet.ts';
import { readPack } from '../data/pack.ts';
import { now } from './clock.ts';
import { reconstructions } from './latents.ts';
import { say, trainFor } from './trainFor.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '90' },
    threads: { type: 'string', default: '1' },
    batch: { type: 'string' },
    lr: { type: 'string' },
    'save-minutes': { type: 'string', default: '10' },
  },
});
const [from, work] = positionals.map((path) => resolve(path)) as [string, string];
mkdirSync(work, { recursive: true });
const here = (name: string): string => new URL(name, import.meta.url).pathname;
const pack = readPack(here('../.cache/pictures.pack'));
const backend = cpu({ threads: Number(values.threads) });
const model = join(work, 'model');
const figures: object[] = [];
await tell(from, 0);
const optimizer = { name: 'adamw', lr: Number(values.lr ?? 3e-4), beta2: 0.99, weightDecay: 0 };
await trainFor({
  recipe: here('decoder.yaml'),
  relativeTo: work,
  changes: {
    base: from,
    optimizer,
    ...(values.batch !== undefined && { batch: Number(values.batch) }),
  },
  images: imageSet(pack, choices.decoder),
  backend,
  folder: join(work, 'decoder'),
  end: now() + 60 * Number(values.minutes),
  shape: { rise: 0.02, fall: 0.9 },
  saveEvery: 60 * Number(values['save-minutes']),
  states: true,
  save: async (run) => {
    await run.save(model, { force: true });
    await tell(model, run.step);
  },
});

/** Measures what a model gives back. */
async function tell(folder: string, step: number): Promise<void> {
  const base = await openBase(folder);
  const measured = { pairs: choices.keptPairs, outlines: choices.keptOutlines };
  const psnr: Record<string, number> = {};
  for (const [name, choice] of Object.entries(measured))
    psnr[name] = (await reconstructions(base, imageSet(pack, choice), backend)).psnr;
  figures.push({ step, seconds: Math.round(now()), ...psnr });
  writeFileSync(join(work, 'decoder.json'), `${JSON.stringify(figures, undefined, 1)}\n`);
  say(
    `step ${step}: ${Object.entries(psnr)
      .map(([name, db]) => `kept ${name} ${db.toFixed(3)} dB`)
      .join(', ')}`,
  );
}
