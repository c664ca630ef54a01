import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFloat32 } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { afterAll } from 'vitest';
import type { Report, Run } from '../../src/index.ts';

/** A file of the repository. */
export const pathOf = (path: string): string =>
  fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
/** A reference result. */
export const goldens = (path: string): string => pathOf(`fixtures/goldens/${path}`);
export const json = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;
export const tensor = (path: string, name: string): Float32Array =>
  readFloat32(openSafetensors(path).tensors.get(name)!);

/** A folder that goes when the tests are over. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sdft-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Takes steps, and gives what each of them said. */
export async function reports(run: Run, count?: number): Promise<Report[]> {
  const all: Report[] = [];
  for await (const report of run.steps(count)) all.push(report);
  return all;
}

/** The trained vectors of a run's first adapter. */
export async function vectors(run: Run): Promise<Float32Array> {
  const [state] = await run.trainables();
  const [parameters] = [...state!.values()];
  return parameters!['vectors']!.data as Float32Array;
}

/** Works with a run and lets go of it. */
export async function using<T>(building: Promise<Run>, work: (run: Run) => Promise<T>): Promise<T> {
  const run = await building;
  try {
    return await work(run);
  } finally {
    await run.dispose();
  }
}
