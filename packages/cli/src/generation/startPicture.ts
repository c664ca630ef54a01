import { sizeOf, toPixels } from '@sdft/data';
import { decodePicture, readSize } from '@sdft/data/node';
import { type Base, latentSizeProblem } from '@sdft/pipeline';
import { hostArray, type HostArray, UserError } from '@sdft/tensor';
import type { GenerateFlags } from '../commands/generate.ts';

/** Picture and mask to start from, as `generate` takes them: of the size asked for, else of the picture's own, which must be one that latents have. Throws UserError naming the flag. */
export async function startPicture(
  flags: GenerateFlags,
  base: Base,
): Promise<{ readonly initImage?: HostArray; readonly mask?: HostArray }> {
  const { initImage: path, mask: maskPath } = flags;
  if (path === undefined) {
    if (maskPath !== undefined)
      throw new UserError(
        '--mask says what of a picture is drawn anew; give the picture, too: --init-image FILE',
      );
    if (flags.strength !== undefined)
      throw new UserError(
        '--strength says how far a picture is changed; give it: --init-image FILE',
      );
    return {};
  }
  const own = flags.size ?? (await readSize(path));
  const size = sizeOf(`${own.width}x${own.height}`);
  const problem = latentSizeProblem(base, size);
  if (problem !== undefined)
    throw new UserError(
      `--init-image ${path}: is ${size.width}x${size.height}, and ${problem}; say --size to have it resized`,
    );
  const fit = { ...size, interpolation: 'lanczos' } as const;
  const shape = [size.height, size.width];
  const initImage = hostArray(toPixels(await decodePicture(path, fit)).data, [1, 3, ...shape]);
  if (maskPath === undefined) return { initImage: initImage as HostArray };
  const { data } = await decodePicture(maskPath, fit);
  const grey = Float32Array.from({ length: size.width * size.height }, (_, i) => {
    const [red = 0, green = 0, blue = 0] = data.subarray(3 * i, 3 * i + 3);
    // Luma of ITU-R 601-2, as Pillow converts to grey.
    return (299 * red + 587 * green + 114 * blue) / 255_000;
  });
  return {
    initImage: initImage as HostArray,
    mask: hostArray(grey, [1, 1, ...shape]) as HostArray,
  };
}
