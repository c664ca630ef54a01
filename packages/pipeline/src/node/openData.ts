import { type DataSpec, type ImageSet, type Provides, sizeOf } from '@sdft/data';
import { openImages } from '@sdft/data/node';
import { UserError } from '@sdft/tensor';
import type { NewToken } from '../contracts.ts';
import type { ResolvedRecipe } from '../recipe/composition.ts';
import { type Base, latentSizeProblem, pixelsPerLatent } from '../training/base.ts';
import { type MissingClassImages, missingIn, refusal } from './classImages.ts';

/**
 * Opens the pictures of a recipe, at the base's own size unless it names one. Where words are taught and the pictures' own captions contain none of them, captions are
 * made from the published templates of an object, and the recipe says so.
 *
 * @param options `rehearse`: where class pictures are missing, the subject's stand in for them
 * @throws UserError where the data is unsound, or its pictures have no latents
 */
export async function openData(
  recipe: ResolvedRecipe,
  base: Base | undefined,
  words: readonly NewToken[],
  { relativeTo, rehearse }: { readonly relativeTo: string; readonly rehearse: boolean },
): Promise<{
  readonly set: ImageSet<Provides>;
  readonly recipe: ResolvedRecipe;
  readonly missing: MissingClassImages | undefined;
}> {
  const data = recipe.data!;
  const { resolution } = data;
  const problem =
    base && resolution !== undefined ? latentSizeProblem(base, sizeOf(resolution)) : undefined;
  if (problem !== undefined) throw new UserError(`data.resolution ${resolution}: ${problem}`);
  const missing = await missingIn(data, relativeTo);
  if (missing && !rehearse) throw refusal(missing);
  const standIn = missing && { images: data.images, caption: missing.prompt };
  const native = base && (base.unet.sampleSize ?? 64) * pixelsPerLatent(base);
  const open = (spec: typeof data) =>
    openImages({ ...spec, ...(standIn && { classImages: standIn }) } as DataSpec<Provides>, {
      relativeTo,
      resolution: native ?? 512,
    });
  const set = await open(data);
  const contains = (caption: string): boolean =>
    words.some(({ token }) => caption.toLowerCase().includes(token.toLowerCase()));
  if (
    data.template !== undefined ||
    words.length === 0 ||
    set.items.some(({ filewords }) => contains(filewords) || filewords.includes('[name]'))
  )
    return { set, recipe, missing };
  const templated = { ...data, template: 'object' };
  return { set: await open(templated), recipe: { ...recipe, data: templated }, missing };
}
