/** @file Whole models: a base with other weights in place of some of its own. */
import type { FloatType, Model } from '@sdft/models';
import { writeDiffusersFolder, writeLdmFile } from '@sdft/models/node';
import type { Base } from '@sdft/pipeline';
import type { Weight } from '@sdft/tensor';

/** What a path of a whole model may end in; '' is a folder in diffusers layout, the others are files in that of CompVis and Stability. */
export const modelEndings = ['', '.safetensors', '.ckpt'] as const;

/**
 * Writes a base with these weights, by path, in place of its own; the ending chooses the layout.
 *
 * @param options `dtype`: what every weight is stored as; by default each as it is
 * @returns the files, or the folder
 * @throws UserError where the path exists (without `force`) or cannot be written
 */
export async function writeWholeModel(
  path: string,
  { unet, textEncoder, vae, schedule, tokenizerFolder }: Base,
  weights: ReadonlyMap<string, Weight>,
  { dtype, force }: { readonly dtype?: FloatType | undefined; readonly force: boolean },
): Promise<string[]> {
  const model: Model = {
    ...{ unet, textEncoder, vae, schedule: schedule.config, weights },
    ...(tokenizerFolder !== undefined && { tokenizerFolder }),
  };
  const options = { force, ...(dtype && { dtype }) };
  if (/\.(safetensors|ckpt)$/i.test(path)) return writeLdmFile(path, model, options);
  await writeDiffusersFolder(path, model, options);
  return [path];
}
