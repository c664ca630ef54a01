/** @file Pictures of the class: how many are there, and drawing those that are missing. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { imagesProblems } from '@sdft/data';
import { encodePng, picturesIn } from '@sdft/data/node';
import { writeFileWhole } from '@sdft/models/node';
import { type Backend, UserError } from '@sdft/tensor';
import type { GenerateOptions } from '../generation/settings.ts';
import { resolveRecipe, type ResolvedRecipe } from '../recipe/composition.ts';
import { presetOf, type Registry } from '../recipe/preset.ts';
import type { Recipe } from '../recipe/schema.ts';
import { openBaseOf } from './openBase.ts';
import { openGenerator } from './openGenerator.ts';
import { under } from './paths.ts';

/** Class pictures that a recipe asks for and that are not there. */
export interface MissingClassImages {
  readonly folder: string;
  /** What they are drawn from. */
  readonly prompt: string;
  /** How many there shall be. */
  readonly count: number;
  /** How many there are. */
  readonly there: number;
}

/** How far the drawing of class pictures is. */
export interface ClassImagesProgress {
  /** Class pictures that are there, earlier ones included. */
  readonly there: number;
  /** How many there shall be. */
  readonly count: number;
  /** Sampler steps that the next picture has behind it, of how many. */
  readonly step: number;
  readonly steps: number;
  /** The file, where a picture has just become whole. */
  readonly file?: string | undefined;
}

export interface ClassImagesOptions
  extends Pick<GenerateOptions, 'steps' | 'sampler' | 'cfg' | 'negative' | 'size'> {
  /** Default: `cpu()`. */
  readonly backend?: Backend | undefined;
  /** The folder that relative paths of the recipe start from. Default: the working directory. */
  readonly relativeTo?: string | undefined;
  /** Stops between sampler steps; what is drawn already stays. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of each sampler step, and of each picture. */
  readonly onProgress?: ((progress: ClassImagesProgress) => void) | undefined;
}

type Data = NonNullable<Recipe['data']>;

/**
 * What is missing of the class pictures that data asks for; undefined where nothing is, or none are asked for.
 *
 * @throws UserError where they are missing and cannot be drawn, as nothing says how many or what of
 */
export async function missingIn(
  { classImages }: Pick<Data, 'classImages'>,
  relativeTo: string,
): Promise<MissingClassImages | undefined> {
  if (!classImages) return undefined;
  const { images, caption, count } = classImages;
  const folder = under(relativeTo, images);
  const there = (await picturesIn(folder)).length;
  if (there >= (count ?? 1)) return undefined;
  const what =
    count === undefined
      ? 'no class images are there'
      : `${there} of ${count} class images are there`;
  if (caption === undefined)
    throw new UserError(
      `${folder}: ${what}. Put pictures of the class there, or say what the base shall draw: a class prompt such as "a photo of a dog" (data.classImages.caption)`,
    );
  if (count === undefined)
    throw new UserError(
      `${folder}: ${what}. Put pictures of the class there, or say how many the base shall draw (data.classImages.count)`,
    );
  return { folder, prompt: caption, count, there };
}

/** Why a run cannot begin. */
export const refusal = ({ folder, count, there }: MissingClassImages): UserError =>
  new UserError(
    `${folder}: ${there} of ${count} class images are there. makeClassImages(recipe) draws the others; or ask for fewer (data.classImages.count)`,
  );

/** What is missing of the class pictures of a recipe. Throws UserError where its data is unsound, or they cannot be drawn. */
export async function missingClassImages(
  recipe: Recipe,
  registry: Registry,
  relativeTo = '',
): Promise<MissingClassImages | undefined> {
  return missingIn(withDefaults(recipe, registry).data ?? {}, relativeTo);
}

/**
 * Draws the class pictures that a recipe asks for and that are not there, with its base as it is (Ruiz et al. 2022, section 3.2). Picture i is a function of the
 * recipe's seed and i alone, and is called `I-HASH.png` after what is in it. Each appears whole or not at all, and what is there is never drawn again: ended at any
 * time, the next call goes on. What drawing took of memory is let go at the end.
 *
 * @returns the files that were written
 * @throws UserError where the data is unsound, the pictures cannot be drawn, or the disk is full; `signal`'s reason where it ends the work
 */
export async function makeClassImages(
  recipe: Recipe,
  registry: Registry,
  options: ClassImagesOptions = {},
): Promise<string[]> {
  const { backend, relativeTo = '', signal, onProgress, ...look } = options;
  const resolved = withDefaults(recipe, registry);
  const missing = await missingIn(resolved.data ?? {}, relativeTo);
  if (!missing) return [];
  const { folder, prompt, count } = missing;
  const { steps = resolved.data?.classImages?.steps ?? 25 } = look;
  const taken = new Set((await picturesIn(folder)).map(numberOf));
  await using generator = await openGenerator(await openBaseOf(resolved, relativeTo), [], {
    backend,
  });
  const written: string[] = [];
  for (let i = 0, { there } = missing; there < count; i++) {
    if (taken.has(i)) continue;
    // One at a time: in a larger batch the last bits of a picture would depend on its neighbours' number.
    const [drawn] = await generator.generate(prompt, {
      clipSkip: resolved.clipSkip,
      longPrompts: resolved.longPrompts,
      ...look,
      steps,
      seed: resolved.seed + i,
      signal,
      onStep: ({ step }) => onProgress?.({ there, count, step: step + 1, steps }),
    });
    const { picture, latents } = drawn!;
    if (!latents.data.every(Number.isFinite))
      throw new UserError(
        `${resolved.base}: draws "${prompt}" as numbers that are not finite; get the base again, or use another`,
      );
    const hash = createHash('sha256').update(picture.data).digest('hex').slice(0, 16);
    const file = join(folder, `${String(i).padStart(5, '0')}-${hash}.png`);
    await writeFileWhole(file, [await encodePng(picture)], { force: true });
    written.push(file);
    there++;
    onProgress?.({ there, count, step: 0, steps, file });
  }
  return written;
}

/** The i in `I-HASH.png`; undefined for pictures of other origin. */
function numberOf(file: string): number | undefined {
  const [, number] = /^(\d+)-[0-9a-f]{16}\.png$/.exec(file) ?? [];
  return number === undefined ? undefined : Number(number);
}

function withDefaults(recipe: Recipe, registry: Registry): ResolvedRecipe {
  const resolved = resolveRecipe(recipe, presetOf(recipe, registry));
  const problems = resolved.data ? imagesProblems(resolved.data) : [];
  if (problems.length > 0) throw new UserError(problems.join('\n'));
  return resolved;
}
