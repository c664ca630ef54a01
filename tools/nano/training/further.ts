/**
 * @file Trains nano's autoencoder, or one half of it, on, on the cpu, beside other work:
 *
 *     node --conditions=@sdft/source tools/nano/training/further.ts both MODEL WORK --minutes 90
 *
 * The first word is `encoder`, `decoder` or `both`; what is not trained stays as it is. MODEL is a folder in diffusers layout. WORK gets `model`, MODEL with what has been learned so far, and
 * `further.json` with its figures. A second call goes on with what lies in WORK; a file `stop` in WORK/run ends it.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
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
const parts = {
  encoder: ['vae.encoder.**', 'vae.quant_conv'],
  decoder: ['vae.decoder.**', 'vae.post_quant_conv'],
  both: ['vae.**'],
};
const [part, ...folders] = positionals;
if (part !== 'encoder' && part !== 'decoder' && part !== 'both')
  throw new Error(`say what to train, encoder, decoder or both, not ${part}`);
const [from, work] = folders.map((path) => resolve(path)) as [string, string];
mkdirSync(work, { recursive: true });
const here = (name: string): string => new URL(name, import.meta.url).pathname;
const pack = readPack(here('../.cache/pictures.pack'));
const backend = cpu({ threads: Number(values.threads) });
const model = join(work, 'model');
const told = join(work, 'further.json');
const figures: object[] = existsSync(told)
  ? (JSON.parse(readFileSync(told, 'utf8')) as object[])
  : [];
if (figures.length === 0) await tell(from, 0);
const optimizer = { name: 'adamw', lr: Number(values.lr ?? 3e-4), beta2: 0.99, weightDecay: 0 };
await trainFor({
  recipe: here('further.yaml'),
  relativeTo: work,
  changes: {
    base: from,
    at: parts[part],
    optimizer,
    ...(values.batch !== undefined && { batch: Number(values.batch) }),
  },
  images: imageSet(pack, choices.decoder),
  backend,
  folder: join(work, 'run'),
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
  writeFileSync(told, `${JSON.stringify(figures, undefined, 1)}\n`);
  say(
    `step ${step}: ${Object.entries(psnr)
      .map(([name, db]) => `kept ${name} ${db.toFixed(3)} dB`)
      .join(', ')}`,
  );
}
