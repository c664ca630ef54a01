import { join } from 'node:path';
import { sizeOf } from '@sdft/data';
import { writePng } from '@sdft/data/node';
import type { Learned } from '@sdft/methods';
import { type Base, latentSizeProblem, openGenerator } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import type { GenerateFlags } from '../commands/generate.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';
import { checkDrawing, openDrawing, tellOpened, timestepsOf } from './opened.ts';
import { fileMarks, likePicture, textOf } from './parameters.ts';
import { startPicture } from './startPicture.ts';
import { LatentFile, type PromptIds, readLatents, readPromptIds } from './tensorFiles.ts';

/**
 * Draws what the flags say and writes the pictures, each as soon as it is there, with its settings.
 *
 * @param typed whether a flag was typed, by its attribute
 * @throws UserError
 */
export async function generate(
  typedFlags: GenerateFlags,
  typed: (attribute: string) => boolean,
): Promise<void> {
  const flags = likePicture(typedFlags, typed);
  const output = new Output(flags.json ?? false);
  const { out, force = false, saveLatents, saveTrajectory, cfg, steps } = flags;
  const opened = await openDrawing(flags, flags.prompt ?? [''], output);
  const { backend, base, learned, prompts } = opened;
  const plan = planned(flags, base, learned);
  const file = (index: number): string =>
    join(out, `${String(index).padStart(5, '0')}-seed-${plan.seed + (index % plan.n)}.png`);
  for (let index = 0; index < plan.n * plan.prompts.length; index++)
    checkTarget('--out', file(index), force);
  tellOpened(flags, opened, plan.prompts, output);

  await using generator = await openGenerator(base, learned, { backend });
  const picture = await startPicture(flags, base);
  const options = {
    ...plan.options,
    ...picture,
    ...(picture.initImage && { size: undefined }),
    strength: flags.strength,
    negative: flags.negative,
    n: plan.n,
    seed: plan.seed,
    steps,
    cfg,
    sampler: flags.sampler,
    spacing: flags.spacing,
    sigmas: flags.sigmas,
    clipSkip: flags.clipSkip,
    promptSyntax: flags.promptSyntax,
    emphasis: flags.emphasis,
  };
  for (const { text, strengths } of prompts) generator.check(text, { ...options, strengths });
  // A graphics card has memory of its own.
  if (flags.backend !== 'webgpu') {
    const warning = await generator.room(prompts[0]!.text, options);
    if (warning !== undefined) output.warn(warning);
  }
  const [final, trajectory] = [new LatentFile(), new LatentFile()];
  output.note(`drawing ${counted(plan.n * plan.prompts.length, 'picture')}, seed ${plan.seed}`);
  const marks = fileMarks(flags, learned);
  // Whoever waits for it hears of an error.
  marks.catch(() => undefined);
  const line = output.progress({ title: 'drawing', total: plan.calls });
  for (const [i, { text, strengths }] of prompts.entries()) {
    await generator.generate(text, {
      ...options,
      strengths,
      onStep: ({ step, latents }) => {
        line.step({ steps: latents.shape[0]! });
        if (saveTrajectory !== undefined) trajectory.add(`latents.${step}`, latents);
      },
      onPicture: async ({ picture, latents, seed }, index) => {
        const path = file(i * plan.n + index);
        const [height, width] = picture.shape as [number, number, number];
        const about = { prompt: plan.prompts[i]!, seed, height, width, marks: await marks };
        // Ids that came in place of a prompt are no text.
        const texts = plan.options.promptIds ? {} : { parameters: textOf(flags, about) };
        await writePng(path, picture, { force, texts });
        output.print(path);
        output.record({
          file: path,
          seed,
          ...(plan.options.promptIds === undefined && { prompt: plan.prompts[i] }),
        });
        if (saveLatents !== undefined) final.add('latents', latents);
      },
    });
  }
  output.end();
  if (saveLatents !== undefined) await final.write(saveLatents, force);
  if (saveTrajectory !== undefined) await trajectory.write(saveTrajectory, force);
}

/** What is drawn, from flags that are held against each other and against the base. Throws UserError. */
function planned(flags: GenerateFlags, base: Base, learned: readonly Learned[]) {
  const { prompt } = flags;
  const { vocabSize, maxPositionEmbeddings: window } = base.textEncoder;
  const words = learned.flatMap(({ adapter }) => adapter.tokens ?? []);
  const ids = words.reduce((sum, { vectors }) => sum + vectors, vocabSize);
  const promptIds =
    flags.promptIds === undefined ? undefined : readPromptIds(flags.promptIds, ids, window);
  const latents =
    flags.latents === undefined ? undefined : readLatents(flags.latents, base.vae.latentChannels);
  if (promptIds && prompt)
    throw new UserError('--prompt-ids takes the place of --prompt; give one of them');
  if (!promptIds && !prompt)
    throw new UserError('say what to draw: --prompt TEXT (or --prompt-ids FILE)');
  if (latents && flags.size)
    throw new UserError('--latents has a size of its own; leave --size out');
  const size = flags.size && (`${flags.size.width}x${flags.size.height}` as const);
  const misfit = size && latentSizeProblem(base, sizeOf(size));
  if (misfit !== undefined) throw new UserError(`--size ${size}: ${misfit}`);
  checkDrawing(flags, base);
  const n = count({
    '-n': flags.n,
    '--latents': latents?.shape[0],
    '--prompt-ids': rowsOf(promptIds),
  });
  const timesteps = timestepsOf(flags, base);
  const prompts = prompt ?? [''];
  return {
    prompts,
    n,
    seed: flags.seed ?? Math.floor(Math.random() * 2 ** 32),
    /** Of the U-Net, counted by pictures. */
    calls: prompts.length * n * takenOf(flags, timesteps.length),
    options: {
      promptIds,
      latents,
      size,
    },
  };
}

/** Steps that are taken of all. */
const takenOf = (
  { initImage, mask, steps, strength = mask === undefined ? 0.8 : 1 }: GenerateFlags,
  all: number,
): number => (initImage === undefined ? all : Math.trunc(steps * strength));

/** One row of ids holds for every picture. */
const rowsOf = (ids: PromptIds | undefined): number | undefined =>
  ids === undefined || ids.cond.length === 1 ? undefined : ids.cond.length;

/** How many pictures a prompt has, as several flags say. Throws UserError where they disagree. */
function count(said: Readonly<Record<string, number | undefined>>): number {
  const [first, ...others] = Object.entries(said).filter(([, value]) => value !== undefined);
  const other = others.find(([, value]) => value !== first?.[1]);
  if (first && other)
    throw new UserError(
      `${first[0]} means ${counted(first[1]!, 'picture')}, ${other[0]} ${counted(other[1]!, 'picture')}; let them agree`,
    );
  return first?.[1] ?? 1;
}
