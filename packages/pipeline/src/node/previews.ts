/** @file What a run shows of itself while it trains: a picture of each prompt, and where the base makes pictures from pictures, what it was made from beside it. */
import {
  type DataSpec,
  type ImageFolder,
  type ImageSet,
  type Picture,
  type Provides,
  type Rgb,
  toPixels,
} from '@sdft/data';
import { contactSheet, openImages, resizePicture } from '@sdft/data/node';
import { draws, hostArray, type HostArray, type MemoryPlan, UserError } from '@sdft/tensor';
import ndarray from 'ndarray';
import type { Generator } from '../generation/generator.ts';
import { checkPreview, type GenerateOptions, previewDefaults } from '../generation/settings.ts';
import type { ResolvedRecipe } from '../recipe/composition.ts';
import { type Base, type BaseKind, kindOf, pixelsPerLatent } from '../training/base.ts';

/** Pictures that the previews of a prompt are made from. */
const PICTURES = 3;

/** What a preview is made from beside its prompt. */
interface Subject {
  readonly options: Pick<GenerateOptions, 'initImage' | 'mask' | 'lowRes'>;
  /** What of it is shown beside the result, as large as that. */
  readonly before: Rgb;
}

type SubjectOf = (base: Base, picture: Rgb, uniform: readonly number[]) => Promise<Subject>;

/** By what a base makes pictures from. */
const subjects: { readonly [K in BaseKind]: SubjectOf | undefined } = {
  'text-to-image': undefined,
  inpainting: masked,
  upscaling: reduced,
};

export interface Previews {
  readonly prompts: readonly string[];
  /** Throws UserError where one of them could not be drawn; nothing is computed. */
  check(generator: Pick<Generator, 'check'>): Promise<void>;
  /** What the largest of the networks needs that they take; nothing is computed. */
  memory(generator: Pick<Generator, 'memory'>): Promise<MemoryPlan>;
  /** The preview of a prompt: a picture, or bytes of a PNG file with several. */
  draw(
    prompt: string,
    generate: (prompt: string, options: GenerateOptions) => Promise<readonly Picture[]>,
  ): Promise<Picture | Uint8Array>;
}

/**
 * The previews of a recipe; undefined where it asks for none. Bases that are made for inpainting or upscaling draw from the first pictures of `preview.images`, else of those that are trained on.
 *
 * @param options `set`: what is trained on
 * @throws UserError where settings do not go together or with the base, or there are no pictures to draw from
 */
export async function openPreviews(
  base: Base,
  { preview, data }: Pick<ResolvedRecipe, 'preview' | 'data'>,
  {
    set,
    relativeTo,
  }: { readonly set: ImageSet<Provides> | undefined; readonly relativeTo: string },
): Promise<Previews | undefined> {
  if (!preview) return undefined;
  checkPreview(base, preview);
  const { every, prompts, images, ...look } = preview;
  const kind = kindOf(base);
  const subjectOf = subjects[kind];
  for (const [name, wanted] of [
    ['images', subjectOf],
    ['noiseLevel', kind === 'upscaling'],
  ] as const)
    if (preview[name] !== undefined && !wanted)
      throw new UserError(`preview.${name}: ${base.name} is made for ${kind}; leave it out`);
  if (every === undefined || !prompts) return undefined;
  const options = { ...previewDefaults, ...look };
  const open = async (): Promise<ImageFolder | undefined> => {
    if (images === undefined) return set;
    const side = (base.unet.sampleSize ?? 64) * pixelsPerLatent(base);
    const { width, height } = set ?? { width: side, height: side };
    const spec = { images, interpolation: data?.interpolation, resolution: `${width}x${height}` };
    return openImages(spec as DataSpec<Provides>, { relativeTo });
  };
  const folder = subjectOf && (await open());
  if (subjectOf && !folder)
    throw new UserError(
      `previews: ${base.name} is made for ${kind} and draws from pictures, and a record holds none as files: say preview.images: FOLDER, or leave previews out`,
    );
  const first = (count: number): Promise<Subject[]> =>
    Promise.all(
      (folder?.items ?? []).slice(0, count).map(async (_, i) => {
        const uniform = draws(look.seed ?? previewDefaults.seed).uniform('preview.mask', i, [4]);
        return subjectOf!(base, await folder!.decode(i), [...uniform.data]);
      }),
    );
  return {
    prompts,
    async check(generator) {
      const [one] = await first(1);
      for (const prompt of prompts) generator.check(prompt, { ...options, ...one?.options });
    },
    async memory(generator) {
      const [one] = await first(1);
      return generator.memory(prompts[0]!, { ...options, ...one?.options });
    },
    async draw(prompt, generate) {
      if (!subjectOf) return (await generate(prompt, options))[0]!;
      const shown: Picture[] = [];
      for (const { options: own, before } of await first(PICTURES))
        shown.push(bytesOf(before), (await generate(prompt, { ...options, ...own }))[0]!);
      return contactSheet(shown, { columns: ['before', 'after'], scale: 1 });
    },
  };
}

/**
 * A picture whose middle or so is drawn anew: a rectangle of 3/8 to 3/4 of each side, which shows as the grey that the base is given there.
 *
 * @param uniform in [0, 1): width, height, place across and down
 */
async function masked(_: Base, picture: Rgb, uniform: readonly number[]): Promise<Subject> {
  const { width, height } = picture;
  const [across, down] = [width, height].map((side, axis) => {
    const length = Math.round(side * (3 / 8) * (1 + uniform[axis]!));
    const first = Math.floor((side - length) * uniform[axis + 2]!);
    return { first, end: first + length };
  }) as [Span, Span];
  const mask = new Float32Array(width * height);
  for (let y = down.first; y < down.end; y++)
    mask.fill(1, y * width + across.first, y * width + across.end);
  return {
    options: {
      initImage: pixelsOf(picture),
      mask: hostArray(mask, [1, 1, height, width]) as HostArray,
    },
    before: {
      ...picture,
      data: picture.data.map((byte, at) => (mask[Math.floor(at / 3)] === 1 ? 128 : byte)),
    },
  };
}

interface Span {
  readonly first: number;
  readonly end: number;
}

/** A picture reduced to the size of its latents, which shows enlarged again, pixel for pixel. */
async function reduced(base: Base, picture: Rgb): Promise<Subject> {
  const scale = pixelsPerLatent(base);
  const [width, height] = [picture.width / scale, picture.height / scale];
  const small = await resizePicture(picture, { width, height, interpolation: 'bicubic' });
  const data = picture.data.map((_, at) => {
    const [x, y] = [Math.floor(at / 3) % picture.width, Math.floor(at / 3 / picture.width)];
    return small.data[3 * (Math.floor(y / scale) * width + Math.floor(x / scale)) + (at % 3)]!;
  });
  return { options: { lowRes: pixelsOf(small) }, before: { ...picture, data } };
}

/** f32 [1,3,H,W] in -1..1. */
const pixelsOf = (picture: Rgb): HostArray =>
  hostArray(toPixels(picture).data, [1, 3, picture.height, picture.width]) as HostArray;

const bytesOf = ({ data, width, height }: Rgb): Picture => ndarray(data, [height, width, 3]);
