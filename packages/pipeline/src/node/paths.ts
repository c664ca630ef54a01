import { isAbsolute, join, resolve } from 'node:path';
import type { Recipe } from '../recipe/schema.ts';

/** A path of a recipe, seen from the folder that its relative paths start from. */
export const under = (folder: string, path: string): string =>
  isAbsolute(path) ? path : join(folder, path);

/** `boy.safetensors` and `lora` make `boy.lora.safetensors`. */
export function withName(path: string, name: string): string {
  const [stem, extension] = splitExtension(path);
  return `${stem}.${name}${extension}`;
}

/** A path before its ending, and the ending with its dot. The numbers of a version (`model-v1.5`) are none. */
export function splitExtension(path: string): readonly [string, string] {
  const extension = /\.[a-z][^./\\]*$/i.exec(path)?.[0] ?? '';
  return [path.slice(0, path.length - extension.length), extension];
}

/** A recipe that means the same wherever its file lies: paths that start from `folder` are made absolute. */
export function withAbsolutePaths<R extends Recipe>(recipe: R, folder: string): R {
  const absolute = (path: string): string => resolve(folder, path);
  const { base, data, save, validation, preview } = recipe;
  const { classImages } = data ?? {};
  const readable = <T extends Pick<NonNullable<Recipe['validation']>, 'images' | 'template'>>(
    pictures: T,
  ): T => ({
    ...pictures,
    images: absolute(pictures.images),
    ...(isTemplateFile(pictures.template) && { template: absolute(pictures.template) }),
  });
  const changed: Partial<Recipe> = {
    base: base === 'nano' ? base : absolute(base),
    ...(data && {
      data: {
        ...readable(data),
        ...(classImages && {
          classImages: { ...classImages, images: absolute(classImages.images) },
        }),
      },
    }),
    ...(validation && { validation: readable(validation) }),
    ...(preview?.images !== undefined && {
      preview: { ...preview, images: absolute(preview.images) },
    }),
    ...(save?.out !== undefined && { save: { ...save, out: absolute(save.out) } }),
  };
  for (const key of ['config', 'vae', 'initFrom'] as const) {
    const path = recipe[key];
    if (path !== undefined) changed[key] = absolute(path);
  }
  return { ...recipe, ...changed };
}

/** Whether a template is the path of a file: every other text is a template itself. */
const isTemplateFile = (template: unknown): template is string =>
  typeof template === 'string' && /^[^{}[\]]*\.txt$/i.test(template);
