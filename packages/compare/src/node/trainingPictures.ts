/** @file The pictures that runs learned from, as they stand beside the sheet. */
import { resolve } from 'node:path';
import type { DataSpec } from '@sdft/data';
import { openImages } from '@sdft/methods';
import type { Report } from '../page/report.ts';
import { thumbnail } from './embed.ts';
import type { FinishedRun } from './readRun.ts';

const MOST = 36;
const SIDE = 128;

export interface TrainingSet {
  readonly pictures: Report['training'];
  /** Their files. */
  readonly paths: readonly string[];
  /** One sentence for each thing that a reader should know. */
  readonly missing: readonly string[];
}

/** The pictures of the folders that the runs name; folders that are gone are told of. */
export async function trainingPictures(runs: readonly FinishedRun[]): Promise<TrainingSet> {
  const folders = new Map(
    runs.flatMap(({ recipe: { data }, folder }) =>
      data ? [[resolve(folder, data.images), data] as const] : [],
    ),
  );
  const missing: string[] = [];
  const found: { readonly path: string; readonly caption: string }[] = [];
  for (const [images, data] of folders) {
    try {
      const spec = { images } as DataSpec<'instance'>;
      const set = await openImages(spec, { resolution: data.resolution ?? 512, verify: false });
      found.push(...set.items.map(({ path, filewords }) => ({ path, caption: filewords })));
    } catch {
      missing.push(`The training pictures are not where they were (${images}).`);
    }
  }
  if (folders.size > 1)
    missing.push(
      'The runs learned from pictures in different folders; the sheet shows some of all.',
    );
  const pictures = [];
  const paths: string[] = [];
  for (const { path, caption } of spread(found, MOST)) {
    const picture = await thumbnail(path, SIDE);
    if (!picture) continue;
    pictures.push({ picture, caption });
    paths.push(path);
  }
  return { pictures: { pictures, count: found.length }, paths, missing };
}

/** So many at most, from the whole length of a list. */
const spread = <T>(all: readonly T[], most: number): T[] =>
  all.length <= most
    ? [...all]
    : Array.from({ length: most }, (_, i) => all[Math.floor((i * all.length) / most)]!);
