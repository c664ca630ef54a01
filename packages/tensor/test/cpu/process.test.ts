import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { trace } from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { child, childResult } from './support/child.ts';
import { compute, drawn } from './support/compute.ts';
import { writeWeights } from './support/weightFile.ts';

type Report =
  | { readonly error: number; readonly notices: string[] }
  | { readonly user: boolean; readonly message: string };

let home: string;
let env: { TMPDIR: string; HOME: string };
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'process-test-'));
  env = { TMPDIR: join(home, 'tmp'), HOME: join(home, 'home') };
  for (const folder of Object.values(env)) mkdirSync(folder);
});
afterEach(() => rmSync(home, { recursive: true }));
const left = () =>
  Object.values(env).flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }),
  );

describe('a program that computes', () => {
  it.for(['dispose', 'leave'])(
    'ends by itself and leaves nothing behind, neither in TMPDIR nor at home: %s',
    async (end) => {
      const report = await childResult<Report>('compile', { args: [end], env });
      expect(report).toEqual({ error: expect.closeTo(0, 2), notices: [] });
      expect(left()).toEqual([]);
    },
  );

  it('leaves nothing behind where it exits while a graph is being compiled', async () => {
    expect(await child('compile', { args: ['exit'], env })).toMatchObject({ status: 7 });
    expect(left()).toEqual([]);
  });

  it('is told what to do where onnxruntime-node is missing', async () => {
    const hook = fileURLToPath(new URL('children/withoutOnnxruntime.mjs', import.meta.url));
    const report = await childResult<Report>('compile', {
      args: ['dispose'],
      env,
      node: ['--import', hook],
    });
    expect(report).toEqual({
      user: true,
      message: expect.stringMatching(
        /cpu backend needs onnxruntime-node.*Cannot find package.*ONNXRUNTIME_NODE_INSTALL=skip/,
      ) as string,
    });
    expect(left()).toEqual([]);
  });
});

describe.skipIf(process.platform === 'win32')(
  'a disk that is full (no file may grow beyond a limit)',
  () => {
    it('leaves weights in memory, with a notice', async () => {
      // A weight of 400 KiB, files of up to 100 blocks of 512 or 1024 bytes.
      const report = await childResult<Report>('compile', {
        args: ['dispose', '400'],
        env,
        limit: 'ulimit -f 100',
      });
      expect(report).toEqual({
        error: expect.closeTo(0, 1),
        notices: [expect.stringMatching(/^1 MB of weights are kept in memory/)],
      });
      expect(left()).toEqual([]);
    });
  },
);

const memory = '/dev/shm';
const otherDisk = existsSync(memory) && statSync(memory).dev !== statSync(tmpdir()).dev;
describe.skipIf(!otherDisk)('a TMPDIR on another disk than the weights', () => {
  const graph = trace((t) => ({ outputs: { y: t.weight('w', [100]).mul(2) } }));
  const values = Float32Array.from({ length: 100 }, (_, i) => i);
  let elsewhere: string;
  const realTemporary = process.env.TMPDIR;
  beforeEach(() => {
    elsewhere = mkdtempSync(join(memory, 'process-test-'));
  });
  afterEach(() => {
    rmSync(elsewhere, { recursive: true });
    if (realTemporary === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = realTemporary;
  });

  it.for(['temporary files in memory', 'weights in memory'])('%s', async (which) => {
    const [temporary, place] = which.startsWith('temp')
      ? [elsewhere, home]
      : [env.TMPDIR, elsewhere];
    process.env.TMPDIR = temporary;
    const path = join(place, 'model.safetensors');
    const weights = writeWeights(path, { w: { values, shape: [100] } });
    const unread = new Map(
      [...weights].map(([name, weight]) => [name, { ...weight, read: () => expect.fail('read') }]),
    );
    const before = readdirSync(place);
    const notices: string[] = [];
    const backend = cpu({ threads: 1, onNotice: (message) => notices.push(message) });
    const { y } = await compute(backend, graph, { ...drawn(graph), weights: unread });
    expect(y!.data[99]).toBe(198);
    expect(notices).toEqual([]);
    expect(readdirSync(place)).toEqual(before);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

interface Peak {
  readonly peak: number;
  readonly loss: number;
  readonly slope: readonly number[];
}
// The high-water mark is read from /proc.
describe.skipIf(process.platform !== 'linux')('memory at its highest', () => {
  it('falls by a third where blocks are computed again, and nothing else changes', async () => {
    const [kept, recomputed] = await Promise.all(
      ['kept', 'recomputed'].map((how) =>
        childResult<Peak>('peak', { args: [how, '10', '32', '128'], env }),
      ),
    );
    expect(recomputed!.peak / kept!.peak).toBeLessThan(0.67);
    expect(recomputed!.loss).toBe(kept!.loss);
    expect(recomputed!.slope).toEqual(kept!.slope);
  });
});
