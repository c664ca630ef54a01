import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Weight } from '../../src/index.ts';
import { apply, reference, trace, UserError } from '../../src/index.ts';
import { Emitter } from '../../src/node/cpu/emit.ts';
import { Runtime } from '../../src/node/cpu/runtime.ts';
import { MappedWeights } from '../../src/node/cpu/weights.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear, f32 } from './support/compute.ts';
import { type Stored, writeWeights } from './support/weightFile.ts';

const hindered = vi.hoisted(() => ({
  /** Bytes that every file system has left. */
  room: undefined as number | undefined,
  /** Why no temporary folder can be made, a code of an errno. */
  folder: undefined as string | undefined,
}));

vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>();
  return {
    ...real,
    mkdtempSync: (prefix: string) => {
      if (hindered.folder !== undefined && prefix.includes('sdft-'))
        throw Object.assign(new Error(hindered.folder), { code: hindered.folder });
      return real.mkdtempSync(prefix);
    },
    statfsSync: (path: string) => {
      const { bsize, ...rest } = real.statfsSync(path);
      return hindered.room === undefined
        ? { ...rest, bsize }
        : { ...rest, bsize, bavail: Math.floor(hindered.room / bsize) };
    },
  };
});

const values = (n: number, seed = 0): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.round(Math.sin(i + seed) * 64) / 64);
/** A product, and a convolution of small pictures, which would like its kernel rearranged. */
const graph = trace((t) => {
  const x = t.input('x', [2, 3, 4, 4]);
  const kernel = t.weight('kernel', [4, 3, 3, 3]);
  const attrs = { stride: [1, 1], padding: [1, 1, 1, 1] } as const;
  const y = apply('conv2d', [x, kernel], attrs);
  const w = t.weight('w', [5, 4]);
  return {
    outputs: {
      y: y
        .permute([0, 2, 3, 1])
        .matmul(w, { transposeB: true })
        .add(t.weight('b', [5])),
      flat: w.reshape([20]).mul(2),
    },
  };
});
const tensors: Readonly<Record<string, Stored>> = {
  kernel: { values: values(108), shape: [4, 3, 3, 3] },
  w: { values: values(20, 1), shape: [5, 4] },
  b: { values: values(5, 2), shape: [5] },
};

let home: string;
let temporary: string;
const realTemporary = process.env.TMPDIR;
beforeEach(() => {
  home = fs.mkdtempSync(join(tmpdir(), 'weights-test-'));
  temporary = join(home, 'tmp');
  fs.mkdirSync(temporary);
  process.env.TMPDIR = temporary;
});
afterEach(() => {
  Object.assign(hindered, { folder: undefined, room: undefined });
  if (realTemporary === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = realTemporary;
  fs.rmSync(home, { recursive: true });
  vi.restoreAllMocks();
});

/** Compiles and runs the graph, holds it against the reference, and sees that nothing is left behind. */
async function check(weights: ReadonlyMap<string, Weight>): Promise<string[]> {
  const notices: string[] = [];
  const before = fs.readdirSync(home);
  const backend = cpu({ threads: 1, onNotice: (message) => notices.push(message) });
  for (let time = 0; time < 2; time++)
    expectNear(
      await compute(backend, graph, { inputs, weights }),
      await compute(reference, graph, { inputs, weights }),
      20,
    );
  expect(fs.readdirSync(temporary)).toEqual([]);
  expect(fs.readdirSync(home)).toEqual(before);
  return notices;
}
const write = (name = 'model.safetensors', stored = tensors) =>
  writeWeights(join(home, name), stored);
/** The same, of which nothing may be read into memory. */
const unread = (weights: ReadonlyMap<string, Weight>) =>
  new Map(
    [...weights].map(([name, weight]) => [
      name,
      { ...weight, read: () => expect.fail(`${name} was read`) },
    ]),
  );
const { inputs } = drawn(graph);

describe('f32 weights in a file', () => {
  it('are mapped where they lie', async () => {
    expect(await check(write())).toEqual([]);
  });

  it('are not read, and nothing is written, where they need not be rearranged', async () => {
    hindered.folder = 'EACCES';
    const notices: string[] = [];
    const backend = cpu({ threads: 1, packBytes: 0, onNotice: (message) => notices.push(message) });
    expectNear(
      await compute(backend, graph, { inputs, weights: unread(write()) }),
      await compute(reference, graph, { inputs, weights: write() }),
      20,
    );
    expect(notices).toEqual([]);
  });

  it('may lie behind a symbolic link, as in a Hugging Face cache', async () => {
    fs.mkdirSync(join(home, 'blobs'));
    fs.mkdirSync(join(home, 'snapshot'));
    const path = join(home, 'snapshot', 'model.safetensors');
    const inBlobs = writeWeights(join(home, 'blobs', '0f3a'), tensors);
    fs.symlinkSync('../blobs/0f3a', path);
    const weights = new Map(
      [...inBlobs].map(([name, weight]) => [name, { ...weight, file: { ...weight.file!, path } }]),
    );
    expect(await check(weights)).toEqual([]);
  });

  it('may lie in several files, of one name, of strange ones, by relative paths', async () => {
    const names = ['kernel', 'w', 'b'] as const;
    const folders = ['one', 'two', 'drei – Übung = #3 %20'];
    const weights = new Map(
      names.flatMap((name, i) => {
        fs.mkdirSync(join(home, folders[i]!));
        const path = join(home, folders[i]!, 'model.safetensors');
        const [entry] = writeWeights(path, { [name]: tensors[name]! });
        const file = { ...entry![1].file!, path: relative(process.cwd(), path) };
        return [[name, { ...entry![1], file }] as const];
      }),
    );
    expect(await check(weights)).toEqual([]);
    const backend = cpu({ threads: 1, packBytes: 0 });
    expectNear(
      await compute(backend, graph, { inputs, weights: unread(weights) }),
      await compute(reference, graph, { inputs, weights }),
      20,
    );
  });

  it('stay mapped when the file is deleted or replaced', async () => {
    const weights = write();
    const want = await compute(reference, graph, { inputs, weights });
    const executable = await cpu({ threads: 1, packBytes: 0 }).compile(graph, { weights });
    const path = join(home, 'model.safetensors');
    fs.writeFileSync(`${path}.new`, new Uint8Array(fs.statSync(path).size));
    fs.renameSync(`${path}.new`, path);
    expectNear(await executable.run(inputs), want, 20);
    await executable.dispose();
  });

  it('that are gone, cut short, or not what the header says are refused before anything is computed', async () => {
    const refused = async (weights: ReadonlyMap<string, Weight>, message: RegExp) => {
      const compiled = () => cpu({ threads: 1 }).compile(graph, { weights });
      await expect(compiled()).rejects.toThrow(UserError);
      await expect(compiled()).rejects.toThrow(message);
      expect(fs.readdirSync(temporary)).toEqual([]);
    };
    const weights = write();
    const path = join(home, 'model.safetensors');
    const wrong = new Map(weights).set('b', {
      ...weights.get('b')!,
      file: { ...weights.get('b')!.file!, length: 16 },
    });
    await refused(wrong, /^b takes 16 bytes in .*model\.safetensors; \[5\] needs 20$/);
    fs.truncateSync(path, 500);
    await refused(
      weights,
      /model\.safetensors has 500 bytes, and \w+ would end at 5\d\d: .*cut short/,
    );
    fs.rmSync(path);
    await refused(weights, /model\.safetensors cannot be read \(ENOENT\)/);
  });
});

describe('all other weights', () => {
  it.each(['f16', 'bf16', 'f64'] as const)('stored as %s are widened', async (dtype) => {
    const stored = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, { ...tensor, dtype }]),
    );
    expect(await check(write('model.safetensors', stored))).toEqual([]);
  });

  it('at odd places in their file are copied out of it', async () => {
    const gaps: Readonly<Record<string, number>> = { kernel: 3, w: 2, b: 0 };
    const stored = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, { ...tensor, gap: gaps[name]! }]),
    );
    const weights = write('model.safetensors', stored);
    for (const { file } of weights.values()) expect(file!.offset % 4).not.toBe(0);
    expect(await check(weights)).toEqual([]);
  });

  it('that are in no file at all are written to one', async () => {
    const weights = new Map(
      [...write()].map(([name, { dtype, shape, read }]) => [name, { dtype, shape, read }]),
    );
    expect(await check(weights)).toEqual([]);
  });

  it.each(['no room', 'no place to write to'])(
    'stay in memory where there is %s, with a notice',
    async (why) => {
      if (why === 'no room') hindered.room = 1e6;
      else hindered.folder = 'EROFS';
      const stored = { ...tensors, w: { ...tensors.w!, dtype: 'f16' as const } };
      const notices = await check(write('model.safetensors', stored));
      expect(notices).toHaveLength(1);
      expect(notices[0]).toMatch(
        /^1 MB of weights are kept in memory: .*tmp has no room .* TMPDIR/,
      );
    },
  );

  it('are named where they cannot be read', async () => {
    const weights = write();
    const { dtype, shape } = weights.get('b')!;
    weights.set('b', { dtype, shape, read: () => new Uint8Array(7) });
    await expect(cpu({ threads: 1 }).compile(graph, { weights })).rejects.toThrow(
      /^b: .* holds 7 bytes; it needs 20/,
    );
    expect(fs.readdirSync(temporary)).toEqual([]);
  });
});

describe('where files can be mapped from one drive only', () => {
  // Windows: C: with the temporary files, D: with most of the weights.
  const drive = (path: string) => (path.startsWith(join(home, 'd')) ? join(home, 'd/') : '/');
  const declared = (weights: ReadonlyMap<string, Weight>) => {
    const source = new MappedWeights(weights, () => {}, drive);
    const emitter = new Emitter();
    for (const [name, { shape }] of weights) source.weight(emitter, name, shape);
    const rows = source.rearranged(emitter, 'kernel', 'forward');
    source.remove();
    const places = emitter.initializers.map((i) => 'external' in i && i.external.location);
    return { root: source.root, places, held: [...source.held.keys()], rows };
  };
  beforeEach(() => fs.mkdirSync(join(home, 'd')));

  it('that is the drive of most weights; the others are kept in memory, and none is rearranged', () => {
    const { kernel, ...small } = tensors;
    const weights = new Map([
      ...write('d/unet.safetensors', { kernel: kernel! }),
      ...write('text.safetensors', small),
    ]);
    expect(declared(weights)).toEqual({
      root: join(home, 'd/'),
      places: ['unet.safetensors'],
      held: ['w:w:5x4', 'w:b:5'],
      rows: undefined,
    });
  });

  it('or that of the temporary files', () => {
    const { b, ...large } = tensors;
    const weights = new Map([
      ...write('d/unet.safetensors', { b: b! }),
      ...write('text.safetensors', large),
    ]);
    const { root, places, held, rows } = declared(weights);
    const here = join(home, 'text.safetensors').slice(1);
    expect([root, held, rows]).toEqual(['/', [], 'w:kernel forward']);
    expect(places.slice(1, 3)).toEqual([here, here]);
    expect(places[0]).toMatch(/tmp\/sdft-\w+\/weights\.bin$/);
  });
});

describe('the temporary file', () => {
  const listeners = process.listenerCount('exit');
  it('goes away where ONNX Runtime refuses the model', async () => {
    vi.spyOn(Runtime.prototype, 'create').mockRejectedValue(new Error('refused'));
    await expect(cpu().compile(graph, { weights: write() })).rejects.toThrow('refused');
    expect(fs.readdirSync(temporary)).toEqual([]);
    expect(process.listenerCount('exit')).toBe(listeners);
  });

  it('is not made where inputs are wrong', async () => {
    const state = { s: f32([1]) };
    await expect(cpu().compile(graph, { weights: write(), state })).rejects.toThrow(UserError);
    await expect(cpu().compile(graph, { weights: new Map() })).rejects.toThrow(/no weight kernel/);
    expect(fs.readdirSync(temporary)).toEqual([]);
  });
});
