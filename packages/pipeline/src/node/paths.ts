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
  const { base, data, save } = recipe;
  const { template, classImages } = data ?? {};
  // Every other text of a template is one.
  const templateFile = typeof template === 'string' && /^[^{}[\]]*\.txt$/i.test(template);
  const changed: Partial<Recipe> = {
    base: base === 'nano' ? base : absolute(base),
    ...(data && {
      data: {
        ...data,
        images: absolute(data.images),
        ...(templateFile && { template: absolute(template) }),
        ...(classImages && {
          classImages: { ...classImages, images: absolute(classImages.images) },
        }),
      },
    }),
    ...(save?.out !== undefined && { save: { ...save, out: absolute(save.out) } }),
  };
  for (const key of ['config', 'vae', 'initFrom'] as const) {
    const path = recipe[key];
    if (path !== undefined) changed[key] = absolute(path);
  }
  return { ...recipe, ...changed };
}
