/** @file Runs the real program, as a person would. */
import { spawn, type SpawnOptions } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

const root = new URL('../../../', import.meta.url);
/** A path in the repository. */
export const pathOf = (path: string): string => fileURLToPath(new URL(path, root));
export const goldens = (path: string): string => pathOf(`fixtures/goldens/${path}`);

/** The program and its first arguments. */
export const program: readonly [string, ...string[]] = [
  process.execPath,
  '--conditions=@sdft/source',
  pathOf('packages/cli/bin/sdft.mjs'),
];

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `sdft` to its end. */
export const sdft = (args: readonly string[], options: SpawnOptions = {}): Promise<Ended> =>
  runProgram([...program, ...args], options);

/** Runs a program to its end. */
export function runProgram(
  [command = '', ...args]: readonly string[],
  options: SpawnOptions = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Nothing that hangs outlives its test.
      timeout: 55_000,
      killSignal: 'SIGKILL',
      ...options,
    });
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (text) => (stdout += text));
    child.stderr?.on('data', (text) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** The lines of stdout, each of which must be one JSON object. */
export const jsonLines = <T = Record<string, unknown>>({ stdout }: Ended): T[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);

/** An empty folder that goes when the test file ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sdft-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
