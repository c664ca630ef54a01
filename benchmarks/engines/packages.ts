/** @file The other engines' packages, in a folder of the benchmark's own. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { EngineName } from './engine.ts';

const folder = fileURLToPath(new URL('../.cache/engines', import.meta.url));

/** The latest of each on 2026-11-26. */
const packages: Readonly<Record<Exclude<EngineName, 'sdft'>, Readonly<Record<string, string>>>> = {
  'jax-js': { '@jax-js/jax': '0.1.25' },
  tfjs: {
    '@tensorflow/tfjs-core': '4.22.0',
    '@tensorflow/tfjs-backend-cpu': '4.22.0',
    '@tensorflow/tfjs-backend-webgpu': '4.22.0',
  },
  'onnxruntime-web': { 'onnxruntime-web': '1.30.0' },
};

const wanted = Object.assign({}, ...Object.values(packages)) as Record<string, string>;

function versionOf(name: string): string | undefined {
  const file = join(folder, 'node_modules', name, 'package.json');
  if (!existsSync(file)) return undefined;
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Installs what is missing, 220 MB. Throws with npm's own words where that fails. */
export function install(log: (line: string) => void): void {
  const missing = Object.entries(wanted).filter(([name, version]) => versionOf(name) !== version);
  if (missing.length === 0) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const exact = Object.entries(wanted).map(([name, version]) => `${name}@${version}`);
  log(`npm install ${exact.join(' ')}`);
  const { status, stderr, error } = spawnSync(
    'npm',
    ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', ...exact],
    { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' },
  );
  if (status !== 0) throw new Error(`npm install failed: ${error?.message ?? stderr}`);
}

export const versions = (): Record<string, string> =>
  Object.fromEntries(Object.keys(wanted).map((name) => [name, versionOf(name) ?? 'missing']));

/** A package's module as an import would find it in that folder. */
export const load = async <T>(name: string): Promise<T> =>
  (await import(pathToFileURL(join(folder, 'node_modules', name)).href)) as T;

/** The same by `require`. */
export const required = <T>(name: string): T =>
  createRequire(join(folder, 'package.json'))(name) as T;
