import type { Resolution } from './resolution.ts';
import { resolutionProblem } from './resolution.ts';
import { templateProblem } from './templates.ts';

/** What a batch can hold: pictures of the subject, and pictures of its class (for prior preservation). */
export type Provides = 'instance' | 'class';

/**
 * How a picture is resampled. `bicubic` is what diffusers' `textual_inversion.py` and A1111's `dataset.py` ask PIL for,
 * `bilinear` what diffusers' `train_dreambooth.py` asks torchvision for, `lanczos` the default of diffusers' advanced scripts.
 */
export type Interpolation = 'bilinear' | 'bicubic' | 'lanczos';

/** When the template of a picture is drawn: at every fetch (diffusers), or once for the whole run (A1111). */
export type TemplatePick = 'fetch' | 'image';

/** Settings of `images`; what is left out falls to the caller of `openImages` and `loader`, then to the default named here. */
export interface ImagesOptions {
  /**
   * How captions are made: `object` or `style` (the published lists), a template with `{}` for the name and `{caption}` for
   * the picture's own caption (A1111's `[name]` and `[filewords]` mean the same), several templates, or the path of a
   * template file that ends in `.txt`, one template a line. Default: the picture's own caption.
   */
  readonly template?: string | readonly string[] | undefined;
  /** Pixels: 512 is a square, `512x768` is width x height. The shortest side is scaled to it and the rest cropped evenly. */
  readonly resolution?: Resolution | undefined;
  /** Probability, 0..1, that a fetched picture is mirrored left to right. Default 0. */
  readonly flip?: number | undefined;
  /**
   * Probability, 0..1, that a fetched picture has the empty caption, so that the model keeps knowing what no prompt looks like, from which guidance leads away
   * (Ho and Salimans 2022, arXiv:2207.12598; 0.1 is usual). Class pictures keep their captions. Default 0.
   */
  readonly captionDropout?: number | undefined;
  /** Default `bicubic`. */
  readonly interpolation?: Interpolation | undefined;
  /** Default `fetch`. */
  readonly pick?: TemplatePick | undefined;
  /** How often each picture occurs in an epoch. Default 1; diffusers' `textual_inversion.py` has 100. */
  readonly repeats?: number | undefined;
}

/** Pictures of the subject's class. */
export interface ClassImages {
  /** A folder. */
  readonly images: string;
  /** The caption of every one of them. Default: each picture's own caption. */
  readonly caption?: string | undefined;
  /** How many there shall be: the first so many of the folder are used. Default: all that are there. */
  readonly count?: number | undefined;
  /** Sampler steps of those that have to be drawn because the folder has fewer. Nothing is drawn here. */
  readonly steps?: number | undefined;
}

declare const provides: unique symbol;

/**
 * Training data, described: frozen plain data, the same that a recipe file holds under `data`. Nothing has been read.
 * The type parameter says what a batch of it can hold, so that an objective that needs class images refuses data without them
 * when it is compiled; it exists in types only.
 */
export interface DataSpec<P extends Provides = 'instance'> extends ImagesOptions {
  /** A folder. */
  readonly images: string;
  readonly classImages?: ClassImages | undefined;
  readonly [provides]?: { readonly [K in P]: true };
}

/**
 * Describes a folder of pictures (`.jpg`, `.jpeg`, `.png`, `.webp`) with optional captions in `.txt` files of the same stem.
 * Nothing is read or checked before `openImages`.
 *
 *     images('photos/boy', { template: 'a drawing of {}' })
 *     images({ images: 'photos/boy', template: 'a drawing of {}', resolution: 64, flip: 0.5 })
 */
export function images(folder: string, options?: ImagesOptions): DataSpec;
export function images(options: ImagesOptions & { readonly images: string }): DataSpec;
export function images(
  folder: string | (ImagesOptions & { readonly images: string }),
  options: ImagesOptions = {},
): DataSpec {
  return frozen<DataSpec>(
    typeof folder === 'string' ? { images: folder, ...options } : { ...folder },
  );
}

/**
 * Adds pictures of the subject's class, for prior preservation (DreamBooth, arXiv:2208.12242, section 3.2).
 *
 *     withClassImages(images('photos/rex', { template: 'a photo of {} dog' }), 'photos/dogs', { caption: 'a photo of a dog' })
 */
export function withClassImages(
  spec: DataSpec,
  folder: string,
  options: Omit<ClassImages, 'images'> = {},
): DataSpec<'instance' | 'class'> {
  const settings: Omit<DataSpec, typeof provides> = spec;
  return frozen<DataSpec<Provides>>({ ...settings, classImages: { images: folder, ...options } });
}

/** What a batch of this data can hold, for callers that have no types to look at (JavaScript, recipe files). */
export function providedBy(spec: DataSpec<Provides> | DataSpec): readonly Provides[] {
  return spec.classImages === undefined ? ['instance'] : ['instance', 'class'];
}

const rules: {
  readonly [K in keyof Required<DataSpec> & string]: (value: unknown) => string | undefined;
} = {
  images: folderProblem,
  template: templateProblem,
  resolution: resolutionProblem,
  flip: probabilityProblem,
  captionDropout: probabilityProblem,
  interpolation: oneOf('bilinear', 'bicubic', 'lanczos'),
  pick: oneOf('fetch', 'image'),
  repeats: (value) => (isCount(value) ? undefined : 'must be a whole number, 1 or more'),
  classImages: classImagesProblem,
};

/**
 * Everything wrong with a description, one sentence each, before any file is looked at; empty when it is sound.
 * For a builder that lists every problem at once; `openImages` throws the same sentences.
 *
 * @param where what the description is called
 */
export function imagesProblems(spec: unknown, where = 'data'): string[] {
  if (!isRecord(spec))
    return [`${where} must be an object such as { images: 'FOLDER' }, not ${shown(spec)}`];
  const found = unknownKeys(spec, Object.keys(rules), where);
  if (spec['images'] === undefined)
    found.push(`${where} has no 'images': name the folder that holds the pictures`);
  for (const [key, rule] of Object.entries(rules)) {
    const value = spec[key];
    const problem = value === undefined ? undefined : rule(value);
    if (problem !== undefined) found.push(`${where}.${key} ${problem}, not ${shown(value)}`);
  }
  return found;
}

function classImagesProblem(value: unknown): string | undefined {
  if (!isRecord(value))
    return "must be an object such as { images: 'FOLDER', caption: 'a photo of a dog' }";
  const [unknown] = unknownKeys(value, ['images', 'caption', 'count', 'steps'], 'data.classImages');
  if (unknown !== undefined) return `has an unknown key (${unknown})`;
  if (folderProblem(value['images']) !== undefined) return "needs 'images', the path of a folder";
  const { caption } = value;
  if (caption !== undefined && typeof caption !== 'string')
    return "has a 'caption' that is no text";
  const odd = ['count', 'steps'].find((key) => value[key] !== undefined && !isCount(value[key]));
  return odd === undefined ? undefined : `has a '${odd}' that is no whole number, 1 or more`;
}

function probabilityProblem(value: unknown): string | undefined {
  return isNumber(value) && value >= 0 && value <= 1 ? undefined : 'must be a probability, 0 to 1';
}

function folderProblem(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? undefined : 'must be the path of a folder';
}

function oneOf(...words: readonly string[]): (value: unknown) => string | undefined {
  return (value) =>
    typeof value === 'string' && words.includes(value)
      ? undefined
      : `must be one of ${words.join(', ')}`;
}

function unknownKeys(
  value: Readonly<Record<string, unknown>>,
  known: readonly string[],
  where: string,
): string[] {
  return Object.keys(value)
    .filter((key) => !known.includes(key))
    .map((key) => `${where} has no setting '${key}'; it has ${known.join(', ')}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 1;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

/** A frozen copy without the keys that hold nothing, so that a description equals what a recipe file would say. */
function frozen<T extends object>(spec: T): T {
  const held = Object.entries(spec).filter(([, value]) => value !== undefined);
  return Object.freeze(
    Object.fromEntries(held.map(([key, value]) => [key, frozenValue(value)])),
  ) as T;
}

function frozenValue(value: unknown): unknown {
  if (Array.isArray(value)) return Object.freeze([...value]);
  return isRecord(value) ? frozen(value) : value;
}
