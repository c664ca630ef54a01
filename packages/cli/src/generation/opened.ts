/** @file What commands that draw have in common: the model and what was learned, and flags held against them. */
import { type Learned, openBase } from '@sdft/methods';
import { samplerNamed } from '@sdft/models';
import type { Base } from '@sdft/pipeline';
import { type Backend, UserError } from '@sdft/tensor';
import { checkTarget } from '../files/checkTarget.ts';
import { backendNamed } from '../options/backend.ts';
import { baseText } from '../options/base.ts';
import type { DrawingFlags } from '../options/drawing.ts';
import type { Output } from '../terminal/output.ts';
import { refuseNonFinite } from '../weights/refuseNonFinite.ts';
import { openLearned } from './learned.ts';
import { openMentioned, type PromptWithStrengths, tagsIn } from './mentioned.ts';

export interface Opened {
  readonly backend: Backend;
  readonly base: Base;
  readonly learned: readonly Learned[];
  readonly prompts: readonly PromptWithStrengths[];
}

/** Opens the base, and what flags and prompts name. Throws UserError. */
export async function openDrawing(
  flags: DrawingFlags,
  prompts: readonly string[],
  output: Output,
): Promise<Opened> {
  const backend = await backendNamed(flags.backend);
  const base = await openBase(flags.base, flags);
  output.note(baseText(flags.base, base.weights, base.schedule.config, base.notes));
  const given = await openLearned(flags, base);
  return { backend, base, ...(await openMentioned(flags, base, prompts, given)) };
}

/** Holds flags against each other and against the base. Throws UserError. */
export function checkDrawing(flags: DrawingFlags, base: Base): void {
  const { clipSkip, saveLatents, saveTrajectory, force = false } = flags;
  const layers = base.textEncoder.numHiddenLayers;
  if (clipSkip > layers)
    throw new UserError(
      `--clip-skip ${clipSkip}: the text encoder has ${layers} layers; 1 is the last one, ${layers} the first`,
    );
  if (saveLatents !== undefined && saveLatents === saveTrajectory)
    throw new UserError('--save-latents and --save-trajectory need a file each');
  if (saveLatents !== undefined) checkTarget('--save-latents', saveLatents, force);
  if (saveTrajectory !== undefined) checkTarget('--save-trajectory', saveTrajectory, force);
}

/** The timesteps that the sampler visits. Throws UserError where the flags do not go together. */
export function timestepsOf(flags: DrawingFlags, { schedule }: Base): readonly number[] {
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

/** Says what was opened, and what of the prompts it does not do. Throws UserError where the base holds numbers that are none. */
export function tellOpened(
  flags: DrawingFlags,
  { base, learned }: Opened,
  prompts: readonly string[],
  output: Output,
): void {
  const unread = flags.promptSyntax === 'plain' ? prompts.flatMap(tagsIn) : [];
  if (unread.length > 0)
    output.warn(`${unread[0]} is read as text; say --prompt-syntax a1111 to have it read`);
  for (const one of learned) tell(one, prompts, flags, output);
  refuseNonFinite(flags.base, base.weights);
}

function tell(
  { text = '', file, strength = 1, adapter: { tokens = [] } }: Learned,
  prompts: readonly string[],
  { negative = '' }: DrawingFlags,
  output: Output,
): void {
  output.note(`${file}: ${text}${strength === 1 ? '' : `, strength ${strength}`}`);
  for (const { token } of tokens) {
    const said = [...prompts, negative].some((one) =>
      one.toLowerCase().includes(token.toLowerCase()),
    );
    if (prompts.some((prompt) => prompt !== '') && !said)
      output.warn(`no prompt says ${token}, so it changes nothing`);
  }
}
