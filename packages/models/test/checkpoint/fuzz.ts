/** @file Damages files of every kind at random, and holds the readers to their promise: a UserError or a result, soon, in bounded memory. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { unzipSync } from 'fflate';
import { bytesSource } from '../../src/checkpoint/byteSource.ts';
import { parseUNetConfig, parseVaeConfig } from '../../src/checkpoint/configFile.ts';
import { expectedTensors } from '../../src/checkpoint/expectedTensors.ts';
import { readPickle } from '../../src/checkpoint/pickle.ts';
import { fromSingleFile } from '../../src/checkpoint/singleFile.ts';
import { inferUNet } from '../../src/checkpoint/infer.ts';
import { allTensors, stateDictOf } from '../../src/checkpoint/stateDict.ts';
import { elementCount, elementSize } from '../../src/checkpoint/storageType.ts';
import { torchContext } from '../../src/checkpoint/torchTensors.ts';
import { openTensorFile } from '../../src/node/tensorFile.ts';
import { openTorch } from '../../src/node/torchFile.ts';
import { fixture, golden, json } from './support.ts';

/** What a run found. */
export interface FuzzResult {
  readonly inputs: number;
  readonly refused: number;
  /** Damaged, and read all the same: the damage was in a number, a name, or nowhere that matters. */
  readonly read: number;
  readonly slowestMs: number;
  /** Growth of the process's memory over its size at the start, at its largest. */
  readonly largestGrowthMB: number;
}

const limits = { ms: 5000, growthMB: 1500, readBytes: 2 ** 24 };

/**
 * @param iterations how many damaged inputs
 * @param seed of every random choice
 * @throws Error with the seed and the input's number where a reader breaks its promise
 */
export async function fuzz(iterations: number, seed: number): Promise<FuzzResult> {
  const folder = mkdtempSync(join(tmpdir(), 'sdft-fuzz-'));
  const targets = targetsIn(join(folder, 'input'));
  const random = randomNumbers(seed);
  const start = process.memoryUsage().rss;
  let [refused, slowestMs, largest] = [0, 0, start];
  try {
    for (let i = 0; i < iterations; i++) {
      const target = targets[random(targets.length)]!;
      const other = targets[random(targets.length)]!;
      const input = damage(target.bytes, other.bytes, random);
      const failed = (why: string): Error =>
        new Error(
          `fuzz: seed ${seed}, input ${i} (${target.name}): ${why}\n${Buffer.from(input).toString('base64').slice(0, 20_000)}`,
        );
      const before = performance.now();
      try {
        await target.read(input);
      } catch (error) {
        if (!(error instanceof UserError)) throw failed(String((error as Error).stack));
        refused++;
      }
      const ms = performance.now() - before;
      const { rss } = process.memoryUsage();
      if (ms > limits.ms) throw failed(`took ${ms.toFixed(0)} ms`);
      if (rss - start > limits.growthMB * 1e6)
        throw failed(`memory grew by ${((rss - start) / 1e6).toFixed(0)} MB`);
      slowestMs = Math.max(slowestMs, ms);
      largest = Math.max(largest, rss);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return {
    inputs: iterations,
    refused,
    read: iterations - refused,
    slowestMs: Math.round(slowestMs),
    largestGrowthMB: Math.round((largest - start) / 1e6),
  };
}

interface Target {
  readonly name: string;
  readonly bytes: Uint8Array;
  read(input: Uint8Array): Promise<void> | void;
}

function targetsIn(path: string): Target[] {
  const file = (
    name: string,
    source: string,
    read: (path: string) => Promise<ReadonlyMap<string, Weight>>,
  ): Target => ({
    name,
    bytes: readFileSync(source),
    async read(input) {
      writeFileSync(path, input);
      readAll(await read(path));
    },
  });
  const torch = (name: string): Target =>
    file(name, fixture(name), async (at) => allTensors((await openTorch(at)).value, at));
  const named = async (at: string): Promise<ReadonlyMap<string, Weight>> =>
    (await openTensorFile(at)).tensors;
  const pickleIn = (name: string): Target =>
    pickled(
      `data.pkl of ${name}`,
      unzipSync(readFileSync(fixture(name)))[`${name.split('.')[0]}/data.pkl`]!,
    );
  const { pickles } = json<{ pickles: { protocol: number; base64: string }[] }>(
    fixture('pickles.json'),
  );
  const configs = (name: string, parse: (value: unknown) => unknown): Target => ({
    name,
    bytes: readFileSync(golden(`tiny-sd/${name}`)),
    read: (input) => parseJson(input, parse),
  });
  return [
    file('embedding.safetensors', golden('train/ti/result.safetensors'), named),
    file('lora.safetensors', golden('train/kohya_lora/result-f16.safetensors'), named),
    file('model.safetensors', fixture('sd2-openclip.safetensors'), async (at) =>
      singleFile(await named(at), at),
    ),
    ...[
      'dtypes.pt',
      'dtypes-protocol-4.pt',
      'strided.pt',
      'strided-legacy.pt',
      'lightning.ckpt',
      'lightning-legacy.ckpt',
      'textual-inversion-original.pt',
    ].map(torch),
    ...['dtypes.pt', 'dtypes-protocol-4.pt', 'strided.pt', 'lightning.ckpt'].map(pickleIn),
    ...pickles.map(({ protocol, base64 }) =>
      pickled(`protocol ${protocol}`, Buffer.from(base64, 'base64')),
    ),
    configs('unet/config.json', (value) => expectedTensors({ unet: parseUNetConfig(value, 'x') })),
    configs('vae/config.json', (value) => expectedTensors({ vae: parseVaeConfig(value, 'x') })),
  ];
}

/** A pickle alone, over storages of 4 kB. */
function pickled(name: string, bytes: Uint8Array): Target {
  const storage = bytesSource(new Uint8Array(4096), name);
  return {
    name,
    bytes,
    read(input) {
      const source = bytesSource(input, name);
      const { value } = readPickle(
        source,
        0,
        input.length,
        torchContext(name, () => ({ source: storage, offset: 0, length: storage.size })),
      );
      readAll(allTensors(value, name));
      stateDictOf(value, name);
    },
  };
}

function parseJson(input: Uint8Array, parse: (value: unknown) => unknown): void {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(input));
  } catch {
    throw new UserError('not JSON');
  }
  parse(value);
}

function singleFile(
  tensors: ReadonlyMap<string, Weight>,
  where: string,
): ReadonlyMap<string, Weight> {
  const { weights } = fromSingleFile(tensors, where);
  inferUNet(weights, where);
  return weights;
}

/** Reads what is small enough to be read, and checks its length. */
function readAll(tensors: ReadonlyMap<string, Weight>): void {
  for (const [name, weight] of [...tensors].slice(0, 50)) {
    const length = elementCount(weight.shape) * elementSize[weight.dtype];
    if (length <= limits.readBytes && weight.read().length !== length)
      throw new Error(`${name} has another length than its shape`);
  }
}

/** Numbers that break arithmetic, as they stand in files. */
const extremes = [0, 1, 0x7f, 0x80, 0xff]
  .map((byte) => [byte])
  .concat([
    [0xff, 0xff, 0xff, 0x7f],
    [0xff, 0xff, 0xff, 0xff],
    [0, 0, 0, 0x80],
    Array<number>(8).fill(0xff),
    [0, 0, 0, 0, 0, 0, 0, 0x80],
  ]);
const words = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '-',
  '.',
  '9',
  '0',
  'e9',
  'null',
  '99999999999',
  '9007199254740993',
  '-1',
  'F32',
  'F64',
  '\\u0000',
].map((word) => Buffer.from(word));
const opcodes = Buffer.from(
  '(.012FIJKLMNPQRSTUVXabcd}eghi]jloqrst)up\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98',
  'latin1',
);

function damage(
  bytes: Uint8Array,
  other: Uint8Array,
  random: (below: number) => number,
): Uint8Array {
  let out = Buffer.from(bytes);
  for (let times = 1 + random(4); times > 0; times--) {
    // Most damage goes to the front, where headers and pickles are.
    const span = random(3) === 0 ? out.length : Math.min(out.length, 2000);
    const at = random(span + 1);
    const splice = (remove: number, insert: Uint8Array): void => {
      out = Buffer.concat([out.subarray(0, at), insert, out.subarray(at + remove)]);
    };
    switch (random(9)) {
      case 0:
        if (at < out.length) out[at] = out[at]! ^ (1 << random(8));
        break;
      case 1:
        if (at < out.length) out[at] = random(256);
        break;
      case 2:
        splice(1, opcodes.subarray(random(opcodes.length)).subarray(0, 1));
        break;
      case 3: {
        const extreme = extremes[random(extremes.length)]!;
        splice(extreme.length, Uint8Array.from(extreme));
        break;
      }
      case 4:
        splice(random(3), words[random(words.length)]!);
        break;
      case 5:
        splice(random(64), new Uint8Array(0));
        break;
      case 6: {
        const from = random(out.length + 1);
        splice(0, out.subarray(from, from + random(200)));
        break;
      }
      case 7: {
        const from = random(other.length + 1);
        splice(random(50), other.subarray(from, from + random(200)));
        break;
      }
      case 8:
        out = out.subarray(0, random(out.length + 1));
        break;
    }
  }
  return out;
}

/** Whole numbers below a bound, by mulberry32. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
