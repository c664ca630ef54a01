import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { goldens, jsonLines, sdft, temporaryFolder } from './sdft.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
type Line = readonly [dtype: string, shape: readonly number[], sha256: string];

test('inspect --hash --json: format, tensors with their hashes, metadata', async () => {
  const file = 'model-f16.ckpt';
  const ended = await sdft(['inspect', goldens(`files/${file}`), '--hash', '--json']);
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  const [found, ...more] = jsonLines<{
    format: string;
    tensors: Record<string, Line>;
    metadata: Record<string, unknown>;
  }>(ended);
  expect(more).toEqual([]);
  expect(found).toMatchObject({ format: 'torch-zip', metadata: { global_step: 1234 } });
  const manifest = JSON.parse(readFileSync(goldens('files/manifest.json'), 'utf8')) as Record<
    string,
    { tensors: Record<string, Line> }
  >;
  const short = Object.entries(found!.tensors).map(([name, [dtype, shape, sha256]]) => [
    name,
    [dtype, shape, sha256.slice(0, 16)],
  ]);
  // The manifest lists those of the model, not of what Lightning keeps beside it.
  expect(Object.fromEntries(short)).toMatchObject(manifest[file]!.tensors);
});

test('inspect, for people', async () => {
  const ended = await sdft(['inspect', goldens('train/ti_a1111/result.pt')]);
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect(ended.stdout).toMatch(/result\.pt: Textual Inversion embedding, A1111's layout/);
  expect(ended.stdout).toMatch(/F32 \[2, 12\]/);
});

test('tokenize --json: uncut ids with start and end, pieces, and what is cut', async () => {
  const { cases } = JSON.parse(readFileSync(goldens('tokenizer.json'), 'utf8')) as {
    cases: readonly { text: string; ids: number[]; ids77: number[]; strict: boolean }[];
  };
  const strict = cases.filter((each) => each.strict);
  const ended = await sdft([
    ...['tokenize', '--base', goldens('tiny-sd'), '--json', '--'],
    ...strict.map(({ text }) => text),
  ]);
  expect(ended.code, ended.stderr).toBe(0);
  const lines = jsonLines<{ ids: number[]; pieces: string[]; truncated: string | null }>(ended);
  expect(lines.map(({ ids }) => ids)).toEqual(strict.map(({ ids }) => ids));
  for (const { ids, pieces, truncated } of lines) {
    expect(pieces.length).toBe(ids.length);
    expect(truncated === null).toBe(ids.length <= 77);
  }
});

test('init: the same seed makes the same files, another one others', async () => {
  const unet = (name: string) =>
    readFileSync(at(`${name}/unet/diffusion_pytorch_model.safetensors`));
  for (const [name, seed] of [
    ['a', '3'],
    ['b', '3'],
    ['c', '4'],
  ] as const)
    expect(
      await sdft(['init', 'tiny', '--out', name, '--seed', seed], { cwd: folder }),
    ).toMatchObject({ code: 0 });
  expect(unet('a').equals(unet('b'))).toBe(true);
  expect(unet('a').equals(unet('c'))).toBe(false);
  expect(existsSync(at('a/tokenizer/merges.txt'))).toBe(true);

  const again = await sdft(['init', 'tiny', '--out', 'a'], { cwd: folder });
  expect(again.code).toBe(2);
  expect(again.stderr).toContain('--force');
  expect(statSync(at('a/model_index.json')).isFile()).toBe(true);
});

test('doctor: every check, and 0 where the cpu backend works', async () => {
  const ended = await sdft(['doctor', '--json']);
  expect(ended.code, ended.stderr).toBe(0);
  const [{ works, checks } = { works: false, checks: [] }] = jsonLines<{
    works: boolean;
    checks: { name: string; state: string; facts?: Record<string, unknown> }[];
  }>(ended);
  expect(works).toBe(true);
  const states = Object.fromEntries(checks.map(({ name, state }) => [name, state]));
  expect(states).toMatchObject({
    Node: 'ok',
    'cpu backend': 'ok',
    pictures: 'ok',
    'webgpu backend': expect.stringMatching(/^(ok|absent)$/) as string,
  });
  expect(Object.keys(states)).toEqual(
    expect.arrayContaining(['processor', 'memory', 'disk', 'temporary files']),
  );
  const gflops = checks.find(({ name }) => name === 'cpu backend')?.facts?.['gflops'];
  expect(gflops).toBeGreaterThan(1);
});
