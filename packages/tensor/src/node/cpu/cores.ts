/** @file How many cores a machine has. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Cores with units of their own, at most as many as this process may use: by Linux's description of them; elsewhere, and on machines that do not say, the logical ones. */
export function physicalCores(info = cpuInfo(), available = availableParallelism()): number {
  const cores = info.split(/\n\s*\n/).flatMap((block) => {
    const id = (name: string): string | undefined =>
      new RegExp(`^${name}\\s*:\\s*(\\d+)$`, 'm').exec(block)?.[1];
    const core = id('core id');
    return core === undefined ? [] : [`${id('physical id') ?? 0}/${core}`];
  });
  return Math.min(new Set(cores).size || available, available);
}

function cpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}
