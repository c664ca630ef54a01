/** @file Style, concept and diversity of what was drawn, by the classifier that comes along with `nano`. */
import { type Backend, UserError } from '@sdft/tensor';
import ndarray, { type NdArray } from 'ndarray';
import sharp from 'sharp';
import { counted, listed, percent } from '../page/quantities.ts';
import { type Classifier, firstOf } from '../scores/classifier.ts';
import type { ClassifierConfig, Measured } from '../scores/network.ts';
import { conceptIn, type Scores, scoresOf } from '../scores/scores.ts';
import { openClassifier, readClassifierConfig } from './openClassifier.ts';
import type { WantedShot } from './shots.ts';

/** Figures of each column, and what a reader has to know of them. */
export interface Scored {
  readonly scores: readonly Scores[];
  readonly about: string;
}

/**
 * Why there are no scores; undefined where there are.
 *
 * @param style the artist that is asked for
 * @throws UserError where the classifier does not know that artist
 */
export async function whyNoScores(
  base: string,
  { width, height }: { readonly width: number; readonly height: number },
  style: string | undefined,
): Promise<string | undefined> {
  const { side, artists } = await readClassifierConfig();
  const why =
    base !== 'nano'
      ? 'there is no classifier for this base'
      : width !== side || height !== side
        ? `the classifier knows pictures of ${side} x ${side} pixels only`
        : undefined;
  if (style === undefined) return why && `Style, concept and diversity are left out: ${why}.`;
  if (why !== undefined) throw new UserError(`--style ${style}: ${why}; leave it out`);
  if (!artists.includes(style))
    throw new UserError(`--style ${style}: the classifier knows ${listed(artists)}`);
  return undefined;
}

/**
 * Figures of columns.
 *
 * @param prompts as they were given; what they name is what stands beside `{}`
 * @param columns for each column and prompt, its pictures
 * @param training pictures that show the wanted hand, where `style` does not name it
 */
export async function scoreColumns(
  prompts: readonly string[],
  columns: readonly (readonly (readonly WantedShot[])[])[],
  training: readonly string[],
  { backend, style }: { readonly backend: Backend; readonly style?: string | undefined },
): Promise<Scored> {
  await using classifier = await openClassifier(undefined, backend);
  const { side, concepts } = classifier.config;
  const artist = style ?? (await handOf(classifier, training));
  const scores: Scores[] = [];
  for (const rows of columns) {
    const judged = [];
    for (const [p, shots] of rows.entries())
      judged.push({
        artist,
        concept: conceptIn(prompts[p]!.replaceAll('{}', ' '), concepts),
        judgements: await classifier.classify(
          await Promise.all(shots.map(({ path }) => pixelsOf(path, side))),
        ),
      });
    scores.push(scoresOf(judged));
  }
  return { scores, about: aboutClassifier(classifier.config, artist, scores[0]?.pictures ?? 0) };
}

/** The artist that the classifier sees most often in pictures; undefined where there are none. */
async function handOf(
  classifier: Classifier,
  paths: readonly string[],
): Promise<string | undefined> {
  const pictures = await Promise.all(paths.map((path) => pixelsOf(path, classifier.config.side)));
  const seen = new Map<string, number>();
  for (const { artist } of await classifier.classify(pictures)) {
    const first = firstOf(artist);
    seen.set(first, (seen.get(first) ?? 0) + 1);
  }
  return [...seen].sort((a, b) => b[1] - a[1])[0]?.[0];
}

/** sRGB bytes [side, side, 3] of a picture file. */
async function pixelsOf(path: string, side: number): Promise<NdArray<Uint8Array>> {
  const { data } = await sharp(path)
    .autoOrient()
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .resize(side, side, { fit: 'cover' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return ndarray(new Uint8Array(data), [side, side, 3]);
}

/** What the page says of the classifier. */
function aboutClassifier(
  { accuracy, artists, concepts }: ClassifierConfig,
  artist: string | undefined,
  pictures: number,
): string {
  const { pairs, outlines } = accuracy ?? {};
  const right = (measured: Measured | undefined, of: string): string[] =>
    measured
      ? [
          `Of ${counted(measured.pictures, 'picture')} that nothing learned from, ${of}, it names the artist right in ${percent(measured.artist)}, what is drawn in ${percent(measured.concept.top1)}.`,
        ]
      : [];
  return [
    `The classifier is a small network that knows ${artists.length} artists and ${concepts.length} concepts.`,
    ...right(pairs, 'by the artists of the base'),
    ...right(outlines, 'by the artist that the base never saw'),
    ...(artist === undefined ? [] : [`Style asks for the artist that it calls ${artist}.`]),
    `Each figure is over ${counted(pictures, 'picture')} of a column.`,
  ].join(' ');
}
