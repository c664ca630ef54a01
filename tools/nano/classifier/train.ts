/**
 * @file Trains the classifier of artists and concepts, on the cpu:
 *
 *     node --conditions=@sdft/source tools/nano/classifier/train.ts MODEL OUT --minutes 30
 *
 * MODEL is nano's folder in diffusers layout: half of the pictures pass through its autoencoder, as what it draws does. OUT gets the weights, f16, and `classifier.json`: its shape, what its
 * answers stand for, and how often it is right about pictures that it never saw.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type ClassifierConfig, classifierShapes } from '@sdft/compare';
import { openBase } from '@sdft/methods';
import { fromFloat32, readFloat32, weightOf } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import { adamw, chain, clipByGlobalNorm, ema } from '@sdft/optim';
import { draws, hostArray, type HostArray } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { artistNames } from '../data/artwork.ts';
import { readPack, SIDE } from '../data/pack.ts';
import { Clock, now } from '../training/clock.ts';
import { say } from '../training/trainFor.ts';
import { Batches } from './batches.ts';
import { measure } from './measure.ts';
import { conceptsOf, splitOf } from './pictures.ts';
import { averageOf, firstWeights, stepGraph } from './stepGraph.ts';
import { throughAutoencoder } from './throughAutoencoder.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '30' },
    batch: { type: 'string', default: '32' },
    lr: { type: 'string', default: '2e-3' },
    threads: { type: 'string' },
    /** A folder that an earlier call wrote, to go on from. */
    from: { type: 'string' },
    /** So that a second call sees other variants. */
    seed: { type: 'string', default: '0' },
  },
});
const [model, out] = positionals as [string, string];
const [minutes, batch, lr] = [values.minutes, values.batch, values.lr].map(Number) as [
  number,
  number,
  number,
];
/** Seconds between two savings. */
const SAVE_EVERY = 240;

const cache = fileURLToPath(new URL('../.cache/', import.meta.url));
const pack = readPack(join(cache, 'pictures.pack'));
const backend = cpu(values.threads === undefined ? {} : { threads: Number(values.threads) });
const split = splitOf(pack);
const measured = {
  pairs: split.pairs,
  outlines: split.outlines,
  // A few that it was trained on, to see how well it knows those.
  learned: split.train.filter((_, i) => i % 24 === 0),
};
const config: ClassifierConfig = {
  side: SIDE,
  channels: [24, 48, 96, 120],
  groups: 8,
  artists: artistNames,
  concepts: [...conceptsOf(pack.pictures).values()],
};
const through = join(cache, 'through-autoencoder.bin');
const blurred = await throughAutoencoder(await openBase(model), pack, backend, through);
const batches = new Batches(pack, split.train, blurred, config, batch, draws(Number(values.seed)));
const optimizer = chain(clipByGlobalNorm(1), adamw({ lr, weightDecay: 0.05 }));
const average = ema({ decay: 0.997 });
const first = values.from === undefined ? firstWeights(config, draws(1)) : weightsIn(values.from);
const count = Object.values(first).reduce((sum, { data }) => sum + data.length, 0);
say(`${split.train.length} pictures, ${config.concepts.length} concepts, ${count} numbers`);
const executable = await backend.compile(stepGraph(config, batch, optimizer, average), {
  state: first,
});

const clock = new Clock(now() + 60 * minutes, { rise: 0.03, fall: 0.8 });
let saved = now();
let since = { steps: 0, at: now(), artist: 0, concept: 0 };
let ready = batches.at(0);
let step = 0;
for (; !clock.isOver; step++) {
  const running = executable.run({
    ...ready,
    ...Object.fromEntries(
      Object.entries(optimizer.numbers).map(([name, number]) => [name, scalar(number.at(step))]),
    ),
    lr: scalar(lr * clock.factor),
    'ema.rate': scalar(average.rate.at(step)),
  });
  ready = batches.at(step + 1);
  const { artist, concept } = await running;
  since.steps++;
  since.artist += artist!.data[0]!;
  since.concept += concept!.data[0]!;
  if (since.steps === 50) {
    const [a, c] = [since.artist / 50, since.concept / 50].map((loss) => loss.toFixed(3));
    const speed = (50 / (now() - since.at)).toFixed(2);
    say(`step ${step + 1}: artist ${a}, concept ${c}, ${speed} steps/s`);
    since = { steps: 0, at: now(), artist: 0, concept: 0 };
  }
  if (now() - saved > SAVE_EVERY) {
    await save(step + 1);
    saved = now();
  }
}
await save(step);
await executable.dispose();

/** Writes the averages, and measures them. */
async function save(steps: number): Promise<void> {
  const weights = new Map<string, ReturnType<typeof weightOf>>();
  for (const name of classifierShapes(config).keys()) {
    const { data, shape } = await executable.read(averageOf(name));
    weights.set(name, weightOf('f16', shape, fromFloat32(data as Float32Array, 'f16')));
  }
  mkdirSync(out, { recursive: true });
  await writeSafetensors(join(out, 'model.safetensors'), weights, { force: true });
  const accuracy = await measure(config, weights, pack, measured, backend);
  const earlier = values.from === undefined ? 0 : stepsOf(values.from);
  const training = { steps: earlier + steps, batch, pictures: split.train.length };
  writeFileSync(
    join(out, 'classifier.json'),
    `${JSON.stringify({ ...config, training, accuracy }, undefined, 1)}\n`,
  );
  say(`step ${steps}: ${JSON.stringify(accuracy)}`);
}

/** The steps that a folder's weights have had. */
function stepsOf(folder: string): number {
  const known = JSON.parse(readFileSync(join(folder, 'classifier.json'), 'utf8')) as {
    readonly training: { readonly steps: number };
  };
  return known.training.steps;
}

/** The weights of a folder. */
function weightsIn(folder: string): Record<string, HostArray> {
  const { tensors } = openSafetensors(join(folder, 'model.safetensors'));
  return Object.fromEntries(
    [...tensors].map(([name, weight]) => [
      name,
      hostArray(readFloat32(weight), weight.shape) as HostArray,
    ]),
  );
}

function scalar(value: number): HostArray {
  return hostArray(Float32Array.of(value), []) as HostArray;
}
