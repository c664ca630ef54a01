/** @file How often the classifier is right. */
import type { Weight } from '@sdft/tensor';
import { Scope } from '@sdft/models';
import { type Backend, hostArray, type HostArray, trace } from '@sdft/tensor';
import { CLASSIFIER, type ClassifierConfig, classifierNetwork } from '@sdft/compare';
import { type Pack, SIDE } from '../data/pack.ts';
import { conceptsOf } from './pictures.ts';

const BATCH = 32;
const BYTES = 3 * SIDE * SIDE;

/** Shares of pictures whose answer is the first, or among the first five. */
export interface Accuracy {
  readonly pictures: number;
  readonly artist: number;
  readonly concept: { readonly top1: number; readonly top5: number };
}

export async function measure(
  config: ClassifierConfig,
  weights: ReadonlyMap<string, Weight>,
  pack: Pack,
  sets: Readonly<Record<string, readonly number[]>>,
  backend: Backend,
): Promise<Record<string, Accuracy>> {
  const graph = trace((t) => {
    const bytes = t.input('bytes', [BATCH, SIDE, SIDE, 3]);
    const pixels = bytes.div(127.5).sub(1).permute([0, 3, 1, 2]);
    const { artist, concept } = classifierNetwork(new Scope(t, CLASSIFIER), config, pixels);
    return { outputs: { artist, concept } };
  });
  const executable = await backend.compile(graph, { weights });
  const concepts = [...conceptsOf(pack.pictures).keys()];
  const found: Record<string, Accuracy> = {};
  for (const [name, indices] of Object.entries(sets)) {
    let [artists, named, top1, top5] = [0, 0, 0, 0];
    for (let start = 0; start < indices.length; start += BATCH) {
      const some = indices.slice(start, start + BATCH);
      const input = new Float32Array(BATCH * BYTES);
      some.forEach((index, i) => input.set(pack.pixels(index), i * BYTES));
      const bytes = hostArray(input, [BATCH, SIDE, SIDE, 3]) as HostArray;
      const { artist, concept } = await executable.run({ bytes });
      some.forEach((index, i) => {
        const picture = pack.pictures[index]!;
        if (rankOf(artist!, i, config.artists.indexOf(picture.artist)) === 0) artists++;
        const wanted = concepts.indexOf(picture.concept);
        if (wanted < 0) return;
        named++;
        const rank = rankOf(concept!, i, wanted);
        if (rank === 0) top1++;
        if (rank < 5) top5++;
      });
    }
    const share = (n: number, of: number) => Number((n / of).toFixed(4));
    found[name] = {
      pictures: indices.length,
      artist: share(artists, indices.length),
      concept: { top1: share(top1, named), top5: share(top5, named) },
    };
  }
  await executable.dispose();
  return found;
}

/** How many answers of row i come before one. */
function rankOf({ data, shape }: HostArray, i: number, answer: number): number {
  const row = Array.from(data.subarray(i * shape[1]!, (i + 1) * shape[1]!));
  return row.filter((x) => x > row[answer]!).length;
}
