/**
 * @file Trains nano on one machine in a given time, first the autoencoder, then text encoder and U-Net on its latents:
 *
 *     node main.js INPUTS --out OUT --work WORK --backend webgpu --seconds 540 --autoencoder-seconds 180
 *
 * INPUTS holds `pictures.pack`, `tokenizer` and the two recipes, and perhaps `from`: safetensors of weights to begin with, such as an earlier OUT; all others are random. OUT gets the model so
 * far, again and again, in files of at most 14 MB (outbox.ts). WORK keeps what resuming needs; a second call goes on with what lies there.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openBase } from '@sdft/methods';
import { fromFloat32, readFloat32, weightOf } from '@sdft/models';
import {
  initCheckpoint,
  openCheckpoint,
  openSafetensors,
  writeDiffusersFolder,
} from '@sdft/models/node';
import type { Weight } from '@sdft/tensor';
import { cpu, webgpu } from '@sdft/tensor/node';
import { choices, imageSet } from '../data/imageSet.ts';
import { readPack } from '../data/pack.ts';
import { nano } from '../model/architecture.ts';
import { withBatch } from './batchFor.ts';
import { now } from './clock.ts';
import { reconstructions, scalingFactorOf } from './latents.ts';
import { Outbox } from './outbox.ts';
import { weightsOf } from './parts.ts';
import { say, trainFor } from './trainFor.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    work: { type: 'string' },
    backend: { type: 'string', default: 'cpu' },
    precision: { type: 'string', default: 'f32' },
    /** Of the whole, from the start of the process. */
    seconds: { type: 'string', default: '540' },
    /** Of the autoencoder; 0 takes the one of `from`. */
    'autoencoder-seconds': { type: 'string', default: '0' },
    /** By default what suits the machine. */
    'autoencoder-batch': { type: 'string' },
    batch: { type: 'string' },
    'save-every': { type: 'string', default: '90' },
    /** Save what resuming bit by bit needs, too. */
    states: { type: 'boolean', default: false },
  },
});
const [inputs] = positionals as [string];
const { out, states } = values as { out: string; states: boolean };
const work = resolve(values.work!);
const seconds = Number(values.seconds);
const autoencoderSeconds = Number(values['autoencoder-seconds']);
const saveEvery = Number(values['save-every']);
/** What saving at the end may take. */
const LAST = 12;
/** With less time than this, text encoder and U-Net are left for another call. */
const LEAST = 30;

const backend =
  values.backend === 'webgpu'
    ? webgpu({ fast: true, precision: values.precision as 'f32' | 'f16' })
    : cpu();
mkdirSync(work, { recursive: true });
const outbox = new Outbox(out);
const pack = readPack(join(inputs, 'pictures.pack'));
say(`${pack.pictures.length} pictures are read`);
const start = join(work, 'start');
await writeStart(start);
outbox.tell({ seconds, backend: values.backend, precision: values.precision });
const base = await scaled(autoencoderSeconds > 0 ? await trainAutoencoder(start) : start);
if (seconds - LAST - now() > LEAST) await trainTextToImage(base);
say('done');

/** Writes random weights, and those of `from` in their places. */
async function writeStart(folder: string): Promise<void> {
  const model = { ...nano, tokenizerFolder: join(inputs, 'tokenizer') };
  await initCheckpoint(model, 0, folder, { force: true });
  const from = join(inputs, 'from');
  const given = (existsSync(from) ? readdirSync(from).sort() : [])
    .filter((name) => name.endsWith('.safetensors'))
    .flatMap((name) => [...openSafetensors(join(from, name)).tensors]);
  if (given.length === 0) return;
  const { weights: random } = await openCheckpoint(folder);
  const weights = new Map([...random, ...given].map(([path, one]) => [path, copyOf(one)]));
  await writeDiffusersFolder(folder, { ...model, weights }, { force: true });
  say(`${given.length} tensors are given`);
}

/** A weight as f32, read. */
function copyOf(weight: Weight): Weight {
  return weightOf('f32', weight.shape, fromFloat32(readFloat32(weight), 'f32'));
}

/** Trains the autoencoder; gives the folder of the model that has it. */
async function trainAutoencoder(from: string): Promise<string> {
  const model = join(work, 'autoencoder-model');
  const options = {
    recipe: join(inputs, 'autoencoder.yaml'),
    relativeTo: work,
    changes: { base: from },
    images: imageSet(pack, choices.autoencoder),
    ...{ backend, saveEvery, states },
    folder: join(work, 'autoencoder'),
    end: now() + autoencoderSeconds,
    shape: { rise: 0.02, fall: 0.5 },
    save: async (run) => {
      const [state] = await run.trainables();
      await outbox.vae(weightsOf(state!));
      await run.save(model, { force: true });
      outbox.metrics('autoencoder', run);
      outbox.tell({ autoencoderSteps: run.step });
    },
  } satisfies Parameters<typeof trainFor>[0];
  const batches = { measured: 16, from: [8, 12, 16, 24, 32, 48, 64], steps: 3000 };
  await trainFor(await withBatch(options, values['autoencoder-batch'], batches));
  const open = await openBase(model);
  const measured = { pairs: choices.keptPairs, outlines: choices.keptOutlines };
  for (const [name, choice] of Object.entries(measured)) {
    const { psnr } = await reconstructions(open, imageSet(pack, choice), backend);
    say(`kept ${name}: ${psnr.toFixed(2)} dB`);
    outbox.tell({ [`psnr of kept ${name}`]: psnr });
  }
  return model;
}

/** The model with its latents' scaling factor. */
async function scaled(from: string): Promise<string> {
  const model = await openBase(from);
  const { weights, tokenizerFolder } = model;
  const scalingFactor = await scalingFactorOf(model, imageSet(pack, choices.base), backend);
  say(`latents are multiplied with ${scalingFactor.toFixed(4)}`);
  outbox.tell({ scalingFactor });
  await outbox.vae(weights);
  const folder = join(work, 'base');
  const vae = { ...nano.vae, scalingFactor };
  await writeDiffusersFolder(
    folder,
    { ...nano, vae, weights, ...(tokenizerFolder !== undefined && { tokenizerFolder }) },
    { force: true },
  );
  return folder;
}

/** Trains text encoder and U-Net, in what is left of the time. */
async function trainTextToImage(from: string): Promise<void> {
  const options = {
    recipe: join(inputs, 'text-to-image.yaml'),
    relativeTo: work,
    changes: { base: from },
    images: imageSet(pack, choices.base, { captionDropout: 0.1 }),
    ...{ backend, saveEvery, states, encodeBatch: 32, logEvery: 50 },
    folder: join(work, 'text-to-image'),
    end: seconds - LAST,
    shape: { rise: 0.03, fall: 0.35 },
    save: async (run) => {
      await outbox.networks(run);
      outbox.metrics('text-to-image', run);
      outbox.tell({ steps: run.step });
    },
  } satisfies Parameters<typeof trainFor>[0];
  const batches = { measured: 64, from: [32, 48, 64, 96, 128, 192, 256], steps: 4500 };
  await trainFor(await withBatch(options, values.batch, batches));
}
