/** @file The autoencoder at work beside training. */
import { type ImageSet, stackPixels } from '@sdft/data';
import { Scope, vaeDecode, vaeEncode } from '@sdft/models';
import type { Base } from '@sdft/pipeline';
import { type Backend, type HostArray, trace } from '@sdft/tensor';

const BATCH = 16;

/** One over the standard deviation of latents, which is what they are multiplied with (Rombach et al. 2022, section G). */
export async function scalingFactorOf(
  base: Pick<Base, 'vae' | 'weights'>,
  images: ImageSet,
  backend: Backend,
  pictures = 512,
): Promise<number> {
  const graph = trace((t) => {
    const pixels = t.input('pixels', [BATCH, 3, images.height, images.width]);
    return { outputs: { mean: vaeEncode(new Scope(t, 'vae'), base.vae, pixels).mean } };
  });
  const executable = await backend.compile(graph, { weights: base.weights });
  let [sum, squares, count] = [0, 0, 0];
  for (let k = 0; k < pictures / BATCH; k++) {
    const { mean } = await executable.run({ pixels: await batchOf(images, pictures, k) });
    for (const value of mean!.data) {
      sum += value;
      squares += value * value;
      count++;
    }
  }
  await executable.dispose();
  return 1 / Math.sqrt(squares / count - (sum / count) ** 2);
}

/** Means of the peak signal-to-noise ratios of pictures, in decibels, and the last batch of what became of them, with what they were. */
export async function reconstructions(
  base: Pick<Base, 'vae' | 'weights'>,
  images: ImageSet,
  backend: Backend,
): Promise<{ readonly psnr: number; readonly before: HostArray; readonly after: HostArray }> {
  const graph = trace((t) => {
    const pixels = t.input('pixels', [BATCH, 3, images.height, images.width]);
    const scope = new Scope(t, 'vae');
    const after = vaeDecode(scope, base.vae, vaeEncode(scope, base.vae, pixels).mean).clamp(-1, 1);
    return { outputs: { after, errors: after.sub(pixels).div(2).square().mean([1, 2, 3]) } };
  });
  const executable = await backend.compile(graph, { weights: base.weights });
  const count = images.items.length;
  const psnrs: number[] = [];
  let last: { before: HostArray; after: HostArray } | undefined;
  for (let k = 0; k < count / BATCH; k++) {
    const before = await batchOf(images, count, k);
    const { after, errors } = await executable.run({ pixels: before });
    for (const error of errors!.data) if (psnrs.length < count) psnrs.push(-10 * Math.log10(error));
    last = { before, after: after! };
  }
  await executable.dispose();
  return { psnr: psnrs.reduce((sum, x) => sum + x, 0) / psnrs.length, ...last! };
}

/** Batch k of so many pictures, spread over all of them; the last one begins anew. */
async function batchOf(images: ImageSet, pictures: number, k: number): Promise<HostArray> {
  const stride = Math.max(1, Math.floor(images.items.length / pictures));
  const decoded = await Promise.all(
    Array.from({ length: BATCH }, (_, i) =>
      images.decode((stride * (k * BATCH + i)) % images.items.length),
    ),
  );
  return stackPixels(
    decoded,
    decoded.map(() => false),
  ) as HostArray;
}
