/**
 * @file Trains nano on one machine in a given time, first the autoencoder, then text encoder and U-Net on its latents:
 *
 *     node main.js INPUTS --out OUT --work WORK --backend webgpu --seconds 540 --autoencoder-seconds 180
 *
 * INPUTS holds `pictures.pack`, `tokenizer` and the two recipes, and perhaps `from`: safetensors of weights to begin with, such as an earlier OUT; all others are random. OUT gets the model so far in files of at most 16 MB,
 * again and again: unet, text_encoder and vae as f16, averaged; the weights as they are, f32; progress.json; metrics.jsonl. WORK keeps what resuming needs.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBase } from '@sdft/methods';
import { fromFloat32, readFloat32, weightOf } from '@sdft/models';
import {
  initCheckpoint,
  openCheckpoint,
  openSafetensors,
  writeDiffusersFolder,
} from '@sdft/models/node';
import type { Backend, Weight } from '@sdft/tensor';
import { cpu, webgpu } from '@sdft/tensor/node';
import { choices, imageSet } from '../data/imageSet.ts';
import { readPack } from '../data/pack.ts';
import { nano } from '../model/architecture.ts';
import { now } from './clock.ts';
import { reconstructions, scalingFactorOf } from './latents.ts';
import { below, weightsOf, writePart, writeSplit } from './parts.ts';
import { say, trainFor } from './trainFor.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    work: { type: 'string' },
    backend: { type: 'string', default: 'cpu' },
    /** Of the whole, from the start of the process. */
    seconds: { type: 'string', default: '540' },
    /** Of the autoencoder; 0 takes the one of `from`. */
    'autoencoder-seconds': { type: 'string', default: '0' },
    'autoencoder-batch': { type: 'string' },
    batch: { type: 'string' },
    'save-every': { type: 'string', default: '90' },
    /** Save what resuming bit by bit needs, too. */
    states: { type: 'boolean', default: false },
    precision: { type: 'string', default: 'f32' },
  },
});
const [inputs] = positionals as [string];
const { out, work } = values as { out: string; work: string };
const seconds = Number(values.seconds);
const autoencoderSeconds = Number(values['autoencoder-seconds']);
/** What saving at the end may take. */
const LAST = 12;
const backend: Backend =
  values.backend === 'webgpu'
    ? webgpu({ fast: true, precision: values.precision as 'f32' | 'f16' })
    : cpu();
mkdirSync(out, { recursive: true });
mkdirSync(work, { recursive: true });
const pack = readPack(join(inputs, 'pictures.pack'));
say(`${pack.pictures.length} pictures are read`);
const withBatch = (batch: string | undefined) =>
  batch === undefined ? {} : { changes: { batch: Number(batch) } };
const progress: Record<string, unknown> = { seconds, backend: values.backend };
const tell = (more: object): void => {
  Object.assign(progress, more, { at: Math.round(now()) });
  writeFileSync(join(out, 'progress.json'), `${JSON.stringify(progress, undefined, 1)}\n`);
};
/** The metrics of a run, in place of what was there of it. */
const metrics = new Map<string, string>();
const tellMetrics = (part: string, folder: string): void => {
  metrics.set(part, readFileSync(join(folder, 'metrics.jsonl'), 'utf8'));
  const file = join(out, 'metrics.jsonl');
  writeFileSync(file, '');
  for (const [name, lines] of metrics)
    appendFileSync(file, lines.replaceAll('{"step"', `{"part":"${name}","step"`));
};

let start = join(work, 'start');
await writeStart(start);
if (autoencoderSeconds > 0) {
  const folder = join(work, 'autoencoder');
  const model = join(work, 'autoencoder-model');
  await trainFor({
    recipe: join(inputs, 'autoencoder.yaml'),
    relativeTo: work,
    ...withBatch(values['autoencoder-batch']),
    images: imageSet(pack, choices.autoencoder),
    ...{ backend, folder, states: values.states },
    end: now() + autoencoderSeconds,
    shape: { rise: 0.02, fall: 0.5 },
    saveEvery: Number(values['save-every']),
    save: async (run) => {
      const [state] = await run.trainables();
      await writePart(out, 'vae', weightsOf(state!), 'f16');
      await run.save(model, { force: true });
      tellMetrics('autoencoder', folder);
      tell({ autoencoderSteps: run.step });
    },
  });
  start = model;
  const open = await openBase(model);
  for (const [name, choice] of Object.entries({
    pairs: choices.keptPairs,
    outlines: choices.keptOutlines,
  })) {
    const { psnr } = await reconstructions(open, imageSet(pack, choice), backend);
    say(`kept ${name}: ${psnr.toFixed(2)} dB`);
    tell({ [`psnr of kept ${name}`]: psnr });
  }
}
const base = await openBase(start);
const images = imageSet(pack, choices.base, { captionDropout: 0.1 });
const scalingFactor = await scalingFactorOf(base, images, backend);
say(`latents are multiplied with ${scalingFactor.toFixed(4)}`);
tell({ scalingFactor });
await writePart(out, 'vae', below(base.weights, 'vae'), 'f16');
await writeDiffusersFolder(
  join(work, 'base'),
  {
    ...base,
    vae: { ...base.vae, scalingFactor },
    schedule: base.schedule.config,
    tokenizerFolder: base.tokenizerFolder!,
  },
  { force: true },
);
const folder = join(work, 'text-to-image');
await trainFor({
  recipe: join(inputs, 'text-to-image.yaml'),
  relativeTo: work,
  ...withBatch(values.batch),
  ...{ images, backend, folder, states: values.states, encodeBatch: 32 },
  end: seconds - LAST,
  shape: { rise: 0.03, fall: 0.35 },
  saveEvery: Number(values['save-every']),
  logEvery: 50,
  save: async (run) => {
    const [average] = await run.trainables();
    const averages = weightsOf(average!);
    for (const root of ['unet', 'text_encoder'])
      await writePart(out, root, below(averages, root), 'f16');
    const [state] = await run.trainables({ ema: false });
    await writeSplit(out, 'weights', weightsOf(state!));
    tellMetrics('text-to-image', folder);
    tell({ steps: run.step });
  },
});
say('done');

/** Random weights, and those of `from` in their places. */
async function writeStart(folder: string): Promise<void> {
  const tokenizerFolder = join(inputs, 'tokenizer');
  const model = { ...nano, tokenizerFolder };
  await initCheckpoint(model, 0, folder, { force: true });
  const from = join(inputs, 'from');
  const given = (existsSync(from) ? readdirSync(from).sort() : [])
    .filter((name) => name.endsWith('.safetensors'))
    .flatMap((name) => [...openSafetensors(join(from, name)).tensors]);
  say(`${given.length} tensors are given`);
  if (given.length === 0) return;
  const { weights: random } = await openCheckpoint(folder);
  const weights = new Map([...random].map(([path, weight]) => [path, copyOf(weight)]));
  for (const [path, weight] of given) weights.set(path, copyOf(weight));
  await writeDiffusersFolder(folder, { ...model, weights }, { force: true });
}

/** A weight as f32, read. */
function copyOf(weight: Weight): Weight {
  return weightOf('f32', weight.shape, fromFloat32(readFloat32(weight), 'f32'));
}
