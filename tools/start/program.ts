/** @file sdft as this checkout has it, with what it says of its work read by a program. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { passSignals, statusOf } from '../../packages/cli/bin/child.mjs';
import { root } from './folders.ts';

const sdft = join(root, 'packages/cli/bin/sdft.mjs');
/** One command after the other keeps what Node makes of the sources. */
const env = { NODE_COMPILE_CACHE: join(root, '.cache/compile'), ...process.env };

/** A command that ended with another status than 0; its message is what the command said to people. */
export class CommandFailed extends Error {
  readonly status: number;

  constructor(status: number, said: string) {
    super(said);
    this.status = status;
  }
}

/** How far a command is, by its progress line. */
export interface Progress {
  readonly title: string;
  readonly done: number;
  readonly total: number;
}

interface Listeners {
  /** Hears of every line of figures. */
  readonly onRecord?: (record: Readonly<Record<string, unknown>>) => void;
  /** Hears of the progress lines, which come now and then where no terminal is. */
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Runs a command of sdft with `--json`.
 *
 * @throws CommandFailed with its exit status, 130 where Ctrl-C ended it
 */
export async function run(
  args: readonly string[],
  { onRecord, onProgress }: Listeners = {},
): Promise<void> {
  const child = spawn(process.execPath, ['--conditions=@sdft/source', sdft, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  const release = passSignals(child);
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) =>
    onRecord?.(JSON.parse(line) as Record<string, unknown>),
  );
  createInterface({ input: child.stderr }).on('line', (line) => {
    const progress = progressIn(line);
    if (progress) onProgress?.(progress);
    else said.push(line);
  });
  const status = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(statusOf(code, signal)));
  }).finally(release);
  if (status !== 0) throw new CommandFailed(status, said.join('\n'));
}

/** What a progress line says: `drawing  50/100  0.5 s/step`. */
export function progressIn(line: string): Progress | undefined {
  const [, title, done, total] = /^(\S.*?) {2,}(\d+)\/(\d+)(?: {2,}|$)/.exec(line) ?? [];
  return title === undefined ? undefined : { title, done: Number(done), total: Number(total) };
}
