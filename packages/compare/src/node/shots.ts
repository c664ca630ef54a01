/** @file Draws the pictures of a column, those that are not there yet. */
import { existsSync } from 'node:fs';
import { writePng } from '@sdft/data/node';
import { commandLine, openGenerator } from '@sdft/pipeline';
import type { Backend } from '@sdft/tensor';
import { UserError } from '@sdft/tensor';
import type { Drawer } from './openRun.ts';
import type { Content, Parts } from './parts.ts';

/** How all pictures are drawn. */
export interface Look {
  readonly seeds: readonly number[];
  readonly steps: number;
  readonly cfg: number;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** The sampler of every picture. */
export const SAMPLER = 'ddim' as const;

/** A picture that is to be drawn, or is there. */
export interface WantedShot {
  readonly path: string;
  readonly prompt: string;
  readonly seed: number;
  readonly command: string;
}

/**
 * The pictures of a column: for each prompt one a seed.
 *
 * @param prompts with the column's own word in them
 * @param what by its content: the base, and what is applied to it
 */
export function wantedShots(
  parts: Parts,
  { flags, clipSkip }: Drawer,
  prompts: readonly string[],
  { seeds, steps, cfg, width, height }: Look,
  what: Content,
): WantedShot[][] {
  return prompts.map((prompt) =>
    seeds.map((seed) => {
      const look = { steps, cfg, width, height, sampler: SAMPLER, clipSkip };
      return {
        path: parts.picture({ ...what, prompt, seed, ...look }),
        prompt,
        seed,
        command: commandLine([
          ...['sdft', 'generate', ...flags, '--prompt', prompt, '--seed', String(seed)],
          ...['--steps', String(steps), '--cfg', String(cfg), '--size', `${width}x${height}`],
          ...['--out', 'pictures'],
        ]),
      };
    }),
  );
}

/** Those that are not there yet. */
export const undrawn = (shots: readonly (readonly WantedShot[])[]): WantedShot[] =>
  shots.flat().filter(({ path }) => !existsSync(path));

/**
 * Draws what is not there yet, each picture as `sdft generate` draws it.
 *
 * @param onSteps hears of sampler steps, counted by pictures
 * @throws UserError where a prompt or a setting does not go with the base, or there is no memory for it; `signal`'s reason where it ends the work
 */
export async function drawShots(
  { base, learned, clipSkip }: Drawer,
  shots: readonly (readonly WantedShot[])[],
  { steps, cfg, width, height }: Look,
  {
    backend,
    signal,
    onSteps,
  }: {
    readonly backend: Backend;
    readonly signal?: AbortSignal | undefined;
    readonly onSteps?: ((count: number) => void) | undefined;
  },
): Promise<void> {
  const wanted = undrawn(shots);
  if (wanted.length === 0) return;
  await using generator = await openGenerator(base, learned, { backend });
  const options = {
    ...{ steps, cfg, clipSkip, signal },
    sampler: SAMPLER,
    size: `${width}x${height}`,
  } as const;
  for (const { prompt, path, seed } of wanted) {
    signal?.throwIfAborted();
    await generator.generate(prompt, {
      ...options,
      seed,
      onStep: ({ latents }) => onSteps?.(latents.shape[0]!),
      onPicture: ({ picture }) => writePng(path, picture, { force: true }),
    });
  }
}

/**
 * Holds prompts and settings against what draws, before any work starts.
 *
 * @returns warnings
 * @throws UserError naming the column
 */
export async function checkShots(
  label: string,
  { base, learned, clipSkip }: Drawer,
  prompts: readonly string[],
  { steps, cfg, width, height }: Look,
  backend: Backend,
): Promise<string | undefined> {
  try {
    await using generator = await openGenerator(base, learned, { backend });
    const options = { steps, cfg, clipSkip, sampler: SAMPLER, size: `${width}x${height}` } as const;
    for (const prompt of prompts) generator.check(prompt, options);
    // A graphics card has memory of its own.
    return backend.name === 'webgpu' ? undefined : await generator.room(prompts[0]!, options);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${label}: ${error.message}`, { cause: error });
  }
}
