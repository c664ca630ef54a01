import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Weight } from '../../src/index.ts';
import { apply, reference, trace, UserError } from '../../src/index.ts';
import { Runtime } from '../../src/node/cpu/runtime.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear, f32 } from './support/compute.ts';
import { type Stored, writeWeights } from './support/weightFile.ts';

type Hindrance = (source: string, target: string) => string | undefined;
const hindered = vi.hoisted(() => ({
  /** Why a link cannot be made, a code of an errno. */
  link: undefined as Hindrance | undefined,
  clone: undefined as 'works' | undefined,
  folder: undefined as ((parent: string) => string | undefined) | undefined,
  /** Bytes that a file system has left, of any folder. */
  room: undefined as number | undefined,
  done: [] as string[],
}));
const failing = (code: string) => Object.assign(new Error(code), { code });

vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>();
  return {
    ...real,
    linkSync: (source: string, target: string) => {
      const code = hindered.link?.(source, target);
      if (code !== undefined) throw failing(code);
      real.linkSync(source, target);
      hindered.done.push('link');
    },
    copyFileSync: (source: string, target: string, mode?: number) => {
      if (mode === real.constants.COPYFILE_FICLONE_FORCE && hindered.clone === undefined)
        throw failing('ENOTSUP');
      real.copyFileSync(source, target);
      hindered.done.push(mode === undefined ? 'copy' : 'clone');
    },
    mkdtempSync: (prefix: string) => {
      const code = hindered.folder?.(dirname(prefix));
      if (code !== undefined) throw failing(code);
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
  Object.assign(hindered, {
    link: undefined,
    clone: undefined,
    folder: undefined,
    room: undefined,
  });
  hindered.done.length = 0;
  if (realTemporary === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = realTemporary;
  fs.rmSync(home, { recursive: true });
  vi.restoreAllMocks();
});

/** Compiles and runs the graph, holds it against the reference, and sees that nothing is left behind. */
async function check(weights: ReadonlyMap<string, Weight>): Promise<string[]> {
  const notices: string[] = [];
  const inputs = drawn(graph).inputs;
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
const beside = (folder: string) => (source: string, target: string) =>
  dirname(dirname(target)) === folder ? undefined : 'EXDEV';

describe('f32 weights in a file', () => {
  it('are mapped through a link', async () => {
    const weights = write();
    expect(await check(weights)).toEqual([]);
    expect(new Set(hindered.done)).toEqual(new Set(['link']));
    expect(fs.statSync(join(home, 'model.safetensors')).nlink).toBe(1);
  });

  it('are not read where they need not be rearranged', async () => {
    const unread = new Map(
      [...write()].map(([name, weight]) => [
        name,
        {
          ...weight,
          read: () => {
            throw new Error(`${name} was read`);
          },
        },
      ]),
    );
    const { inputs } = drawn(graph);
    const backend = cpu({ threads: 1, packBytes: 0 });
    expectNear(
      await compute(backend, graph, { inputs, weights: unread }),
      await compute(reference, graph, { inputs, weights: write() }),
      20,
    );
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
    expect(new Set(hindered.done)).toEqual(new Set(['link']));
  });

  it('may lie in several files, even of one name', async () => {
    fs.mkdirSync(join(home, 'other'));
    const { b, ...rest } = tensors;
    const weights = new Map([
      ...write('model.safetensors', rest),
      ...writeWeights(join(home, 'other', 'model.safetensors'), { b: b! }),
    ]);
    expect(await check(weights)).toEqual([]);
  });

  it('on another disk than TMPDIR are linked beside themselves', async () => {
    hindered.link = beside(home);
    expect(await check(write())).toEqual([]);
    expect(new Set(hindered.done)).toEqual(new Set(['link']));
  });

  it('on a disk that cannot link are cloned', async () => {
    hindered.link = () => 'EXDEV';
    hindered.clone = 'works';
    expect(await check(write())).toEqual([]);
    expect(new Set(hindered.done)).toEqual(new Set(['clone']));
  });

  it.each(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP'])(
    'that cannot be linked at all (%s) are copied, with a notice',
    async (code) => {
      hindered.link = () => code;
      hindered.folder = (parent) => (parent === home ? 'EROFS' : undefined);
      const notices = await check(write());
      expect(notices).toHaveLength(1);
      expect(notices[0]).toMatch(/model\.safetensors .* 1 MB are copied .* TMPDIR/);
      expect(new Set(hindered.done)).toEqual(new Set(['copy']));
    },
  );

  it('go where most of them can be linked', async () => {
    fs.mkdirSync(join(home, 'big'));
    const { b, ...rest } = tensors;
    const weights = new Map([
      ...writeWeights(join(home, 'big', 'unet.safetensors'), rest),
      ...write('small.safetensors', { b: b! }),
    ]);
    // Two disks, neither of them that of TMPDIR.
    hindered.link = (source, target) =>
      dirname(dirname(target)) === dirname(source) ? undefined : 'EXDEV';
    const notices = await check(weights);
    expect(notices).toHaveLength(1);
    expect(notices[0]).toContain('small.safetensors');
  });

  it('stay in memory where there is no room for a copy, with a notice', async () => {
    hindered.link = () => 'EXDEV';
    hindered.room = 1e6;
    const notices = await check(write());
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/no room for 1 MB of weights, which are kept in memory .* TMPDIR/);
    expect(hindered.done).toEqual([]);
  });

  it('that is gone, cut short, or not what its header says are refused before anything is computed', async () => {
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
    expect(hindered.done).toEqual([]);
  });

  it('at odd places in their file are copied out of it', async () => {
    expect(
      await check(
        write('model.safetensors', {
          kernel: { ...tensors.kernel!, gap: 3 },
          w: { ...tensors.w!, gap: 2 },
          b: { ...tensors.b!, gap: 0 },
        }),
      ),
    ).toEqual([]);
    expect(hindered.done).toEqual([]);
  });

  it('that are in no file at all are written to one', async () => {
    const weights = new Map(
      [...write()].map(([name, { dtype, shape, read }]) => [name, { dtype, shape, read }]),
    );
    expect(await check(weights)).toEqual([]);
    expect(hindered.done).toEqual([]);
  });

  it('stay in memory where there is no room, with a notice', async () => {
    hindered.room = 1e6;
    const stored = { ...tensors, w: { ...tensors.w!, dtype: 'f16' as const } };
    const notices = await check(write('model.safetensors', stored));
    expect(notices).toHaveLength(1);
    expect(notices[0]).toContain('kept in memory');
  });

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

describe('the folder of the model', () => {
  it('goes away where ONNX Runtime refuses the model', async () => {
    vi.spyOn(Runtime.prototype, 'create').mockRejectedValue(new Error('refused'));
    await expect(cpu().compile(graph, { weights: write() })).rejects.toThrow('refused');
    expect(fs.readdirSync(temporary)).toEqual([]);
    expect(process.listenerCount('exit')).toBe(listeners);
  });
  const listeners = process.listenerCount('exit');

  it('is not made where inputs are wrong', async () => {
    const state = { s: f32([1]) };
    await expect(cpu().compile(graph, { weights: write(), state })).rejects.toThrow(UserError);
    await expect(cpu().compile(graph, { weights: new Map() })).rejects.toThrow(/no weight kernel/);
    expect(fs.readdirSync(temporary)).toEqual([]);
  });

  it('has to be somewhere', async () => {
    hindered.folder = () => 'EACCES';
    await expect(cpu().compile(graph, { weights: write() })).rejects.toThrow(UserError);
    await expect(cpu().compile(graph, { weights: write() })).rejects.toThrow(
      `${basename(temporary)} cannot be written to. Set TMPDIR`,
    );
  });
});
