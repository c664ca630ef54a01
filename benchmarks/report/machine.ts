/** @file The machine that was measured, and the sources. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { physicalCores } from '../../packages/tensor/src/node/cpu/cores.ts';

export interface Machine {
  readonly cpu: string;
  /** Those instruction sets that change ratios. */
  readonly flags: readonly string[];
  readonly physicalCores: number;
  readonly logicalCores: number;
  /** GB */
  readonly memory: number;
  readonly os: string;
}

const telling = /^(avx|avx2|fma|f16c|avx512\w+|avx_vnni|amx_\w+|asimd\w*|bf16|i8mm|sve2?)$/;

export function machine(): Machine {
  const info = cpuInfo();
  const flags = (/^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1] ?? '').split(' ');
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    flags: flags.filter((flag) => telling.test(flag)),
    physicalCores: physicalCores(info),
    logicalCores: availableParallelism(),
    memory: Math.round(totalmem() / 1e9),
    os: `${type()} ${release()}`,
  };
}

/** Cores that other programs keep busy, looked at for two seconds in which this one does nothing. */
export async function busyCores(): Promise<number> {
  const working = (): number =>
    cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  const [before, began] = [working(), performance.now()];
  await pause(2000);
  return (working() - before) / (performance.now() - began);
}

/** The commit, with `+ changes` where the sources are not those of it. */
export function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const changed = git('status', '--porcelain', '--', 'packages', 'benchmarks') !== '';
    return git('rev-parse', '--short=12', 'HEAD') + (changed ? ' + changes' : '');
  } catch {
    return 'unknown';
  }
}

function cpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}
