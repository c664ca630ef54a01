import type { Emphasis } from '@sdft/models';
import { type Backend, UserError } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { AdaptedNetworks } from '../encoding/adaptedNetworks.ts';
import { Executables } from '../encoding/executables.ts';
import { type LongPrompts, promptsOf, type PromptSyntax } from '../encoding/prompts.ts';
import type { Base } from '../training/base.ts';
import { defaultDraws, Validator } from '../validation/validator.ts';
import { type Learned, loadLearned, nameOf, wordsOf } from './learned.ts';
import { type HeldOutPictures, openValidation } from './openValidation.ts';

/** Which pictures are denoised, and how their captions are read: the settings of a recipe, with its defaults. */
export interface ValidationLossOptions extends HeldOutPictures {
  /** Timesteps at which each picture is denoised. Default 8. */
  readonly draws?: number | undefined;
  /** What `{}` in a template stands for. Default: the words that `learned` teaches. */
  readonly name?: string | undefined;
  /** Default 1. */
  readonly clipSkip?: number | undefined;
  /** Default `truncate`, as in training. */
  readonly longPrompts?: LongPrompts | undefined;
  /** Default `plain`. */
  readonly promptSyntax?: PromptSyntax | undefined;
  /** Default `original`. */
  readonly emphasis?: Emphasis | undefined;
  /** Default: `cpu()`. */
  readonly backend?: Backend | undefined;
  /** The folder that relative paths start from. Default: the working directory. */
  readonly relativeTo?: string | undefined;
}

/**
 * The validation loss of a base with what was learned: the number that a run reports for the same base, values, pictures and captions. On pictures like those that the base came from it tells
 * how much of them was forgotten.
 *
 *     const base = await openBase('nano');
 *     const boy = await learnedKinds.lora.open('boy.safetensors', base);
 *     await validationLoss(base, [boy], { images: 'photos/held-out', template: 'a drawing of {caption}' });
 *
 * @param learned files that were opened, in the order in which they apply; a fine-tuned model is a base of its own
 * @throws UserError where pictures or files are unsound or do not fit the base
 */
export async function validationLoss(
  base: Base,
  learned: readonly Learned[],
  options: ValidationLossOptions,
): Promise<number> {
  const { relativeTo = '', longPrompts = 'truncate', emphasis = 'original' } = options;
  const { draws = defaultDraws } = options;
  if (!Number.isInteger(draws) || draws < 1)
    throw new UserError(`validation: draws must be a whole number, 1 or more, got ${draws}`);
  const set = await openValidation(options, base, { relativeTo });
  const { applied, values } = await loadLearned(base, learned);
  const words = wordsOf(applied.adapters);
  const executables = new Executables(options.backend ?? cpu(), 2 ** 30);
  try {
    const validator = new Validator({
      networks: new AdaptedNetworks(base, executables, applied),
      set,
      prompts: promptsOf(base, words, { ...options, longPrompts }),
      name: options.name ?? nameOf(words),
      draws,
      clipSkip: options.clipSkip ?? 1,
      emphasis,
    });
    const strengths = learned.map(({ strength = 1 }) => strength);
    return (await validator.loss({ version: 0, values }, { strengths }))!;
  } finally {
    await executables.dispose();
  }
}
