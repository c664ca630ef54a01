import { join } from 'node:path';
import { sizeOf } from '@sdft/data';
import { writePng } from '@sdft/data/node';
import { type Learned, openBase } from '@sdft/methods';
import { samplerNamed } from '@sdft/models';
import { type Base, latentSizeProblem, openGenerator } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import type { GenerateFlags } from '../commands/generate.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { backendNamed } from '../options/backend.ts';
import { baseText } from '../options/base.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';
import { refuseNonFinite } from '../weights/refuseNonFinite.ts';
import { openLearned } from './learned.ts';
import { likePicture, modelHash, textOf } from './parameters.ts';
import { openMentioned, tagsIn } from './mentioned.ts';
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
  const backend = await backendNamed(flags.backend);
  const base = await openBase(flags.base, flags);
  output.note(baseText(flags.base, base.weights, base.schedule.config, base.notes));
  const given = await openLearned(flags, base);
  const { learned, prompts } = await openMentioned(flags, base, flags.prompt ?? [''], given);
  const plan = planned(flags, base, learned);
  const file = (index: number): string =>
    join(out, `${String(index).padStart(5, '0')}-seed-${plan.seed + (index % plan.n)}.png`);
  for (let index = 0; index < plan.n * plan.prompts.length; index++)
    checkTarget('--out', file(index), force);
  if (saveLatents !== undefined && saveLatents === saveTrajectory)
    throw new UserError('--save-latents and --save-trajectory need a file each');
  if (saveLatents !== undefined) checkTarget('--save-latents', saveLatents, force);
  if (saveTrajectory !== undefined) checkTarget('--save-trajectory', saveTrajectory, force);
  const unread = flags.promptSyntax === 'plain' ? plan.prompts.flatMap(tagsIn) : [];
  if (unread.length > 0)
    output.warn(`${unread[0]} is read as text; say --prompt-syntax a1111 to have it read`);
  for (const one of learned) tell(one, flags, output);
  refuseNonFinite(flags.base, base.weights);

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
  const [final, trajectory] = [new LatentFile(), new LatentFile()];
  output.note(`drawing ${counted(plan.n * plan.prompts.length, 'picture')}, seed ${plan.seed}`);
  const hash = modelHash(flags.base);
  // Whoever waits for it hears of an error.
  hash.catch(() => undefined);
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
        const about = { prompt: plan.prompts[i]!, seed, height, width, hash: await hash };
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
  const layers = base.textEncoder.numHiddenLayers;
  if (flags.clipSkip > layers)
    throw new UserError(
      `--clip-skip ${flags.clipSkip}: the text encoder has ${layers} layers; 1 is the last one, ${layers} the first`,
    );
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

/** The timesteps that the sampler visits. Throws UserError where the flags do not go together. */
function timestepsOf(flags: GenerateFlags, { schedule }: Base): readonly number[] {
  const { steps, spacing, sigmas } = flags;
  if (steps > schedule.length)
    throw new UserError(
      `--steps ${steps}: the base has ${schedule.length} timesteps; 20 to 50 steps are usual`,
    );
  try {
    return samplerNamed(flags.sampler).plan({ schedule, steps, spacing, sigmas }).timesteps;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`--sampler ${flags.sampler}: ${error.message}`, { cause: error });
  }
}

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

function tell(
  { text = '', file, strength = 1, adapter: { tokens = [] } }: Learned,
  { prompt = [], negative = '' }: GenerateFlags,
  output: Output,
): void {
  output.note(`${file}: ${text}${strength === 1 ? '' : `, strength ${strength}`}`);
  for (const { token } of tokens) {
    const said = [...prompt, negative].some((one) =>
      one.toLowerCase().includes(token.toLowerCase()),
    );
    if (prompt.length > 0 && !said) output.warn(`no prompt says ${token}, so it changes nothing`);
  }
}
