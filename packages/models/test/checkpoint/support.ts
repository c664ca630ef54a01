/** @file Fixtures, temporary folders and checksums of the checkpoint tests. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Weight } from '@sdft/tensor';
import { afterAll, expect } from 'vitest';
import { weightOf } from '../../src/checkpoint/byteSource.ts';
import { safetensorsName } from '../../src/checkpoint/storageType.ts';

const fixtures = new URL('../../../../fixtures/', import.meta.url);

/** A file of `fixtures/goldens`, made by reference programs and given. */
export const golden = (name: string): string => fileURLToPath(new URL(`goldens/${name}`, fixtures));
/** A file of `fixtures/checkpoint`, made by tools/checkpoint/make_fixtures.py. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`checkpoint/${name}`, fixtures));
export const json = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sdft-checkpoint-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

/** What the manifests hold of a tensor. */
export const line = (weight: Weight): [string, readonly number[], string] => [
  safetensorsName[weight.dtype],
  weight.shape,
  sha256(weight.read()).slice(0, 16),
];
export const lines = (
  weights: ReadonlyMap<string, Weight>,
): Record<string, ReturnType<typeof line>> =>
  Object.fromEntries(Array.from(weights, ([name, weight]) => [name, line(weight)]));

/** The checksum that make_fixtures.py calls the digest of a network. */
export function digest(weights: ReadonlyMap<string, Weight>, root: string): string {
  const hash = createHash('sha256');
  for (const path of [...weights.keys()].filter((name) => name.startsWith(`${root}.`)).sort()) {
    const weight = weights.get(path)!;
    hash.update(
      `${path.slice(root.length + 1)} ${safetensorsName[weight.dtype]} ${JSON.stringify(weight.shape)}\n`,
    );
    hash.update(weight.read());
  }
  return hash.digest('hex');
}

/** An f32 weight in memory. */
export const floats = (shape: readonly number[], values: Iterable<number>): Weight =>
  weightOf('f32', shape, new Uint8Array(Float32Array.from(values).buffer));

/** What an action throws or rejects with, which must be a fault of the user's: its message. */
export async function userError(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    expect(error).toMatchObject({ name: 'UserError' });
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}
