import { isAbsolute, join } from 'node:path';

/** A path of a recipe, seen from the folder that its relative paths start from. */
export const under = (folder: string, path: string): string =>
  isAbsolute(path) ? path : join(folder, path);

/** `boy.safetensors` and `lora` make `boy.lora.safetensors`. */
export function withName(path: string, name: string): string {
  const [stem, extension] = splitExtension(path);
  return `${stem}.${name}${extension}`;
}

/** A path before its last dot, and from it on. */
export function splitExtension(path: string): readonly [string, string] {
  const extension = /\.[^./\\]+$/.exec(path)?.[0] ?? '';
  return [path.slice(0, path.length - extension.length), extension];
}
