import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import type { Finding } from './check.ts';

/** Instruction sets that matrix products profit from, as Linux names them, and as people do. */
const NAMED: Readonly<Record<string, string>> = {
  avx2: 'AVX2',
  fma: 'FMA',
  f16c: 'F16C',
  avx512f: 'AVX-512',
  avx512_vnni: 'AVX-512 VNNI',
  amx_tile: 'AMX',
  asimd: 'NEON',
  sve: 'SVE',
};

/** Processor: model, cores, instruction sets. */
export function processor(): Finding {
  const model = cpus()[0]?.model.trim() || 'unknown processor';
  const threads = availableParallelism();
  const { flags, cores } = linuxProcessor();
  const sets = Object.entries(NAMED).filter(([flag]) => flags.has(flag));
  const slow = process.arch === 'x64' && flags.size > 0 && !flags.has('avx2');
  const named = sets.length > 0 ? `; ${sets.map(([, name]) => name).join(', ')}` : '';
  return {
    name: 'processor',
    state: slow ? 'poor' : 'ok',
    found: `${model}, ${threads} threads${cores === undefined ? '' : ` on ${cores} cores`}${named}`,
    facts: { model, threads, cores, flags: sets.map(([flag]) => flag) },
    ...(slow && {
      mend: "without AVX2 everything takes several times as long; use a processor from 2014 or later, or give the virtual machine its host's processor",
    }),
  };
}

/** Flags, and distinct physical cores; empty where the system is not Linux. */
function linuxProcessor(): { flags: ReadonlySet<string>; cores: number | undefined } {
  let text: string;
  try {
    text = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return { flags: new Set(), cores: undefined };
  }
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
  const places = text
    .split('\n\n')
    .map((block) => ['physical id', 'core id'].map((key) => fieldOf(block, key)))
    .filter(([, core]) => core !== undefined)
    .map((place) => place.join(':'));
  return { flags: new Set(flags), cores: places.length > 0 ? new Set(places).size : undefined };
}

const fieldOf = (block: string, key: string): string | undefined =>
  new RegExp(`^${key}\\s*:\\s*(.*)$`, 'm').exec(block)?.[1];
