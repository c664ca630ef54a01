import { type DataSpec, type ImageSet, type Provides, type Size, sizeOf } from '@sdft/data';
import { openImages } from '@sdft/data/node';
import { UserError } from '@sdft/tensor';
import type { CommonSettings } from '../recipe/schema.ts';
import { type Base, kindOf, latentSizeProblem, pixelsPerLatent } from '../training/base.ts';
import type { Attached } from '../training/trainables.ts';

/** How held-out pictures are read, where that is said. */
export type HeldOutPictures = Pick<
  NonNullable<CommonSettings['validation']>,
  'images' | 'template' | 'resolution' | 'interpolation'
>;

/**
 * Opens held-out pictures: as large as the data's, or else as the base's own.
 *
 * @param data how the pictures are read that are trained on
 * @throws UserError where they are unsound or have no latents, or the base denoises something else beside
 */
export async function openValidation(
  { images, template, resolution, interpolation }: HeldOutPictures,
  base: Base,
  {
    relativeTo,
    data = {},
    size,
  }: {
    readonly relativeTo: string;
    readonly data?: Partial<Omit<HeldOutPictures, 'images'>> | undefined;
    /** Of the pictures that are trained on. */
    readonly size?: Size | undefined;
  },
): Promise<ImageSet<Provides>> {
  const kind = kindOf(base);
  if (kind !== 'text-to-image')
    throw new UserError(
      `validation: ${base.name} is made for ${kind}, and the validation loss is that of text-to-image bases alone; leave validation out`,
    );
  const side = (base.unet.sampleSize ?? 64) * pixelsPerLatent(base);
  const { width, height } =
    resolution === undefined ? (size ?? { width: side, height: side }) : sizeOf(resolution);
  const problem = latentSizeProblem(base, { width, height });
  if (problem !== undefined)
    throw new UserError(
      `validation${resolution === undefined ? `: pictures of ${width} x ${height} pixels` : `.resolution ${resolution}`}: ${problem}`,
    );
  const spec = {
    images,
    template: template ?? data.template,
    interpolation: interpolation ?? data.interpolation,
    resolution: `${width}x${height}`,
  };
  return openImages(spec as DataSpec<Provides>, { relativeTo });
}

/** Throws UserError where a run would never change its validation loss. */
export function refuseUnmoved({ at }: Attached): void {
  if ([...at.keys()].every((path) => path.startsWith('vae.')))
    throw new UserError(
      'validation: the validation loss says how well the U-Net denoises, and this run trains the autoencoder alone; leave validation out',
    );
}
