/** @file The classifier at work. */
import { Scope } from '@sdft/models';
import {
  type Backend,
  hostArray,
  type HostArray,
  softmax,
  trace,
  UserError,
  type Weight,
} from '@sdft/tensor';
import type { NdArray } from 'ndarray';
import { CLASSIFIER, type ClassifierConfig, classifierNetwork } from './network.ts';

/** What the classifier says of a picture. */
export interface Judgement {
  /** Probabilities of artists by their words; their sum is 1. */
  readonly artist: Readonly<Record<string, number>>;
  /** Probabilities of concepts by their names; their sum is 1. */
  readonly concept: Readonly<Record<string, number>>;
  /** What both heads read, f32 [the last of `channels`]: near one another for pictures alike. */
  readonly features: Float32Array;
}

export interface Classifier extends AsyncDisposable {
  readonly config: ClassifierConfig;
  /**
   * Judges pictures, sRGB bytes [side, side, 3] each.
   *
   * @throws UserError where a picture has another size
   */
  classify(pictures: readonly NdArray<Uint8Array>[]): Promise<Judgement[]>;
}

/** Pictures that are judged at a time. */
const BATCH = 8;

/**
 * The classifier of these weights.
 *
 * @throws UserError where a weight is missing or has another shape than `config` says
 */
export async function createClassifier(
  config: ClassifierConfig,
  weights: ReadonlyMap<string, Weight>,
  backend: Backend,
): Promise<Classifier> {
  const { side } = config;
  const graph = trace((t) => {
    const bytes = t.input('bytes', [BATCH, side, side, 3]);
    const pixels = bytes.permute([0, 3, 1, 2]).div(127.5).sub(1);
    const { artist, concept, features } = classifierNetwork(
      new Scope(t, CLASSIFIER),
      config,
      pixels,
    );
    return { outputs: { artist: softmax(artist), concept: softmax(concept), features } };
  });
  const executable = await backend.compile(graph, { weights });
  return {
    config,
    async classify(pictures) {
      pictures.forEach((picture, i) => checkSize(picture, side, i));
      const judged: Judgement[] = [];
      for (let start = 0; start < pictures.length; start += BATCH) {
        const some = pictures.slice(start, start + BATCH);
        const found = await executable.run({ bytes: bytesOf(some, side) });
        some.forEach((_, i) =>
          judged.push({
            artist: named(config.artists, rowOf(found['artist']!, i)),
            concept: named(config.concepts, rowOf(found['concept']!, i)),
            features: rowOf(found['features']!, i),
          }),
        );
      }
      return judged;
    },
    [Symbol.asyncDispose]: () => executable.dispose(),
  };
}

/** The name with the largest probability. */
export function firstOf(probabilities: Readonly<Record<string, number>>): string {
  let first: readonly [string, number] = ['', -1];
  for (const entry of Object.entries(probabilities)) if (entry[1] > first[1]) first = entry;
  return first[0];
}

function checkSize({ shape }: NdArray<Uint8Array>, side: number, i: number): void {
  if (shape.join() !== `${side},${side},3`)
    throw new UserError(
      `classifier: picture ${i} must be sRGB bytes [${side}, ${side}, 3], got [${shape.join(', ')}]; it knows pictures of nano's size only`,
    );
}

/** [BATCH, side, side, 3] f32 of at most BATCH pictures; the rest is black. */
function bytesOf(pictures: readonly NdArray<Uint8Array>[], side: number): HostArray {
  const data = new Float32Array(BATCH * side * side * 3);
  let at = 0;
  for (const picture of pictures)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) for (let c = 0; c < 3; c++) data[at++] = picture.get(y, x, c);
  return hostArray(data, [BATCH, side, side, 3]) as HostArray;
}

function rowOf({ data, shape }: HostArray, i: number): Float32Array {
  const width = shape[1]!;
  return Float32Array.from(data.subarray(i * width, (i + 1) * width));
}

const named = (names: readonly string[], values: Float32Array): Record<string, number> =>
  Object.fromEntries(names.map((name, i) => [name, values[i]!]));
