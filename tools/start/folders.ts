/** @file What lies in the folders of the experiment. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { model } from '@sdft/nano';
import type { Found } from './plan.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const examples = join(root, 'examples/outline');
export const prompts = join(examples, 'prompts.txt');

/** Where everything goes. */
export function places(quick: boolean) {
  const out = join(root, quick ? 'out/quick' : 'out');
  return {
    out,
    report: join(out, 'report.html'),
    recipe: (name: string) => join(examples, `${name}.yaml`),
    run: (name: string) => join(out, 'runs', name),
    result: (name: string, extension: string) => join(out, `${name}${extension}`),
  };
}

/** In a run's folder: what it was asked to do. */
export const askedFile = 'asked.yaml';

/** Looks into a run's folder. */
export function found(folder: string, result: string): Found {
  const asked = join(folder, askedFile);
  return {
    ...(existsSync(asked) && { asked: readFileSync(asked, 'utf8') }),
    finished: existsSync(join(folder, 'summary.json')) && existsSync(result),
    begun: existsSync(folder),
  };
}

/** The newest step that a run has a state of; 0 where it has none. */
export function savedStep(folder: string): number {
  const states = join(folder, 'state');
  if (!existsSync(states)) return 0;
  return Math.max(0, ...readdirSync(states).map(Number).filter(Number.isInteger));
}

/** The validation losses that a run has measured, in order. */
export function validationLosses(folder: string): number[] {
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.flatMap((line) => {
    const { validationLoss } = JSON.parse(line) as { validationLoss?: number };
    return validationLoss ?? [];
  });
}

/** Takes a run and what it wrote away. */
export function clear(...paths: readonly string[]): void {
  for (const path of paths) rmSync(path, { recursive: true, force: true });
}

/** Of the base model. */
export const baseHash = (): string => filesHash(fileURLToPath(model));

/** SHA-256 of all files of folders, and of single files, cut short. */
export function filesHash(...paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) for (const file of filesIn(path)) hash.update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}

const filesIn = (path: string): string[] =>
  statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .sort()
    : [path];
