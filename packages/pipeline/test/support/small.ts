/** @file A small base, pictures, and the plainest method: what the tests of runs are made with. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { images } from '@sdft/data';
import { adamw } from '@sdft/optim';
import { afterAll } from 'vitest';
import {
  type Adapter,
  normal,
  type Objective,
  pipeline,
  type Report,
  type Run,
  zeros,
} from '../../src/index.ts';

/** A file of the repository. */
export const pathOf = (path: string): string =>
  fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
/** A reference result. */
export const goldens = (path: string): string => pathOf(`fixtures/goldens/${path}`);

/** A folder that goes when the tests are over. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sdft-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A very small x4 upscaler as a folder: that of fixtures/super-resolution, whose text encoder and tokenizer are those of fixtures/replay/sd2-base. */
export function upscaler(): string {
  const folder = join(temporaryFolder(), 'upscaler');
  cpSync(pathOf('fixtures/super-resolution/base'), folder, { recursive: true });
  for (const part of ['text_encoder', 'tokenizer'])
    cpSync(pathOf(`fixtures/replay/sd2-base/${part}`), join(folder, part), { recursive: true });
  return folder;
}

export const base = goldens('tiny-sd');
export const pictures = images(goldens('train/images'), { resolution: 64 });

/** Two factors beside a linear layer (Hu et al. 2021), of which the second starts at zero. */
export const lowRank = (options: Partial<Adapter> = {}): Adapter => ({
  name: 'low-rank',
  at: 'unet.**.attn2.to_{k,v}',
  init: (layer) => ({ down: normal([2, layer.in], 0.5), up: zeros([layer.out, 2]) }),
  wrap:
    (layer, { down, up }) =>
    (x) =>
      layer(x).add(x.matmul(down!, { transposeB: true }).matmul(up!, { transposeB: true })),
  ...options,
});

/** The squared error of the predicted noise, [B]. */
export const denoise: Objective = (
  { unet, schedule },
  { latents, context, size, weight },
  draw,
) => {
  const t = draw.integers('timesteps', [size], schedule.config.numTrainTimesteps);
  const noise = draw.normal('noise', latents.shape);
  const error = unet(schedule.addNoise(latents, noise, t), t, context)
    .sub(noise)
    .square();
  return (weight ? error.mul(weight) : error).mean([1, 2, 3]);
};

/** A run's description up to its data. */
export const stem = pipeline()
  .model(base)
  .adapter(lowRank())
  .objective(denoise)
  .optimizer(adamw({ lr: 1e-2 }))
  .batch(2)
  .seed(3);

/** Takes steps, and gives what each of them said. */
export async function reports(run: Run, count?: number): Promise<Report[]> {
  const all: Report[] = [];
  for await (const report of run.steps(count)) all.push(report);
  return all;
}

/** Every trained number of a run's first adapter. */
export async function trained(run: Run): Promise<number[]> {
  const [state] = await run.trainables();
  return [...state!.values()].flatMap((parameters) =>
    Object.values(parameters).flatMap(({ data }) => [...data]),
  );
}

/** Works with a run and lets go of it. */
export async function using<R extends { dispose(): Promise<void> }, T>(
  building: Promise<R>,
  work: (run: R) => Promise<T>,
): Promise<T> {
  const run = await building;
  try {
    return await work(run);
  } finally {
    await run.dispose();
  }
}
