import { isAbsolute, join } from 'node:path';
import { UserError } from '../errors.ts';
import type { ImageFolder, ImageItem, ImageSet } from '../image-set.ts';
import { pixelCache } from '../pixel-cache.ts';
import type { Rgb } from '../pixels.ts';
import { toPixels } from '../pixels.ts';
import type { Resolution, Size } from '../resolution.ts';
import { sizeOf } from '../resolution.ts';
import type { ClassImages, DataSpec, Interpolation, Provides } from '../spec.ts';
import { imagesProblems } from '../spec.ts';
import { OWN_CAPTION, templateLines, templatesNamed } from '../templates.ts';
import { captionOf, readText } from './caption-files.ts';
import type { Fit } from './decode.ts';
import { decodePicture, readSize } from './decode.ts';
import { forAll } from './for-all.ts';
import { scanFolder, some } from './scan.ts';

/** Settings of `openImages`. `resolution`, `template` and `interpolation` are used where the description does not say. */
export interface OpenOptions {
  readonly resolution?: Resolution | undefined;
  readonly template?: string | readonly string[] | undefined;
  readonly interpolation?: Interpolation | undefined;
  /** The folder that relative paths start from. Default: the working directory. */
  readonly relativeTo?: string | undefined;
  /** Decode every picture once while opening, so that a broken one is found before the work starts. Default true; false reads headers. */
  readonly verify?: boolean | undefined;
  /** Bytes of decoded pictures that each folder keeps in memory. Default 256 MiB. */
  readonly cacheBytes?: number | undefined;
}

/**
 * Opens what `images` described: looks through the folders, reads captions and templates, and checks every picture.
 * @throws UserError when the description is unsound, there is no resolution, a folder is missing or has no pictures, a caption is not
 * UTF-8, or pictures are broken; all broken pictures of a folder are named at once.
 */
export async function openImages<P extends Provides>(
  spec: DataSpec<P>,
  options: OpenOptions = {},
): Promise<ImageSet<P>> {
  const problems = imagesProblems(spec);
  if (problems.length > 0) throw new UserError(problems.join('\n'));
  const resolution = spec.resolution ?? options.resolution;
  if (resolution === undefined) {
    throw new UserError(
      `the data in ${spec.images} has no resolution: say resolution: 512, or WIDTHxHEIGHT`,
    );
  }
  const fit: Fit = {
    ...sizeOf(resolution),
    interpolation: spec.interpolation ?? options.interpolation ?? 'bicubic',
  };
  const base = options.relativeTo ?? '';
  const templates = await readTemplates(spec.template ?? options.template ?? OWN_CAPTION, base);
  const folder = await openFolder(under(base, spec.images), fit, options);
  const classes =
    spec.classImages === undefined
      ? undefined
      : await openFolder(under(base, spec.classImages.images), fit, options, spec.classImages);
  // DataSpec holds class images exactly when P holds 'class'; a conditional type cannot be checked against P here.
  return { ...folder, spec, templates, classes: classes as ImageSet<P>['classes'] };
}

function under(base: string, path: string): string {
  return isAbsolute(path) ? path : join(base, path);
}

async function readTemplates(
  setting: string | readonly string[],
  base: string,
): Promise<readonly string[]> {
  const named = templatesNamed(setting);
  if ('templates' in named) return named.templates;
  const path = under(base, named.file);
  return templateLines(await readText(path, 'the template file'), path);
}

async function openFolder(
  folder: string,
  fit: Fit,
  options: OpenOptions,
  { caption, count }: Omit<ClassImages, 'images'> = {},
): Promise<ImageFolder> {
  const scan = await scanFolder(folder);
  const cache = pixelCache(options.cacheBytes ?? 256 * 2 ** 20);
  const remarks = new Map<string, string>();
  const decodeAt = (index: number, path: string): Promise<Rgb> =>
    cache.get(index, async () => {
      const { remark, ...rgb } = await decodePicture(path, fit);
      if (remark !== undefined) remarks.set(path, remark);
      return rgb;
    });
  const used = scan.pictures.slice(0, count);
  const items = await forAll(used, folder, async (file, index): Promise<ImageItem> => {
    const path = join(folder, file);
    const { width, height } = await readSize(path);
    const filewords = caption ?? (await captionOf(folder, file, scan)).text;
    if (options.verify ?? true) await decodeAt(index, path);
    return Object.freeze({ file, path, filewords, width, height });
  });
  const decode = async (index: number): Promise<Rgb> => {
    const item = items[index];
    if (item !== undefined) return decodeAt(index, item.path);
    throw new UserError(`${folder} has pictures 0 to ${items.length - 1}, no picture ${index}`);
  };
  return {
    folder,
    items,
    width: fit.width,
    height: fit.height,
    warnings: [
      ...scan.warnings,
      ...enlarged(items, fit),
      ...[...remarks].map(([path, remark]) => `${path} ${remark}`),
    ],
    decode,
    pixels: async (index, flip = false) => toPixels(await decode(index), flip),
  };
}

function enlarged(items: readonly ImageItem[], size: Size): string[] {
  const small = items.filter(({ width, height }) => width < size.width || height < size.height);
  if (small.length === 0) return [];
  const names = some(small.map(({ path, width, height }) => `${path} (${width} x ${height})`));
  return [`smaller than ${size.width} x ${size.height} and enlarged, which blurs: ${names}`];
}
