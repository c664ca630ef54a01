import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { explainFileError } from '@sdft/models/node';
import { type Metrics, parseMetrics } from '../runs/metrics.ts';

/** The curves in a run's folder. Throws UserError where `metrics.jsonl` cannot be read. */
export async function readMetrics(folder: string): Promise<Metrics> {
  const path = join(folder, 'metrics.jsonl');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw explainFileError(path, error);
  });
  return parseMetrics(text);
}
