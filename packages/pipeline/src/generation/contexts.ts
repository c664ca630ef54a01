/** @file What a prompt says to each call of the U-Net. */
import { emphasise, promptSchedule, scalingOf, weightedPrompt } from '@sdft/models';
import { UserError } from '@sdft/tensor';
import type { NewToken } from '../contracts.ts';
import { type Prompts, promptsOf, type Reading } from '../encoding/prompts.ts';
import type { Base } from '../training/base.ts';
import type { GenerateOptions } from './settings.ts';

/** Text states [tokens, width] of every picture at every call of the U-Net. */
export interface Contexts {
  readonly tokens: number;
  /** What guidance is multiplied by. */
  readonly weight: number;
  cond(picture: number, call: number): Float32Array;
  uncond(picture: number, call: number): Float32Array;
}

export interface ContextOptions extends Reading, Pick<GenerateOptions, 'negative' | 'promptIds'> {
  /** Pictures. */
  readonly n: number;
  /** Sampler steps. */
  readonly steps: number;
}

/** States [ids.length, width] of ids. */
type Encode = (ids: readonly number[]) => Promise<Float32Array>;

/** What prompts say, as it is read. */
interface ReadPrompts {
  readonly prompts: Prompts;
  readonly cond: Scheduled;
  readonly uncond: Scheduled;
  /** Windows of the text encoder that the longest text needs. */
  readonly windows: number;
  readonly weight: number;
}

type Scheduled = ReturnType<typeof promptSchedule>;

/** Throws UserError for prompts that cannot be read. */
export function readPrompts(
  base: Base,
  words: readonly NewToken[],
  prompt: string,
  options: ContextOptions,
): ReadPrompts {
  const { negative = '', steps } = options;
  const a1111 = options.promptSyntax === 'a1111';
  const prompts = promptsOf(base, words, options);
  const { text, weight } = a1111 ? weightedPrompt(prompt) : { text: prompt, weight: 1 };
  const scheduled = (each: string): Scheduled =>
    a1111 ? promptSchedule(each, steps) : [{ last: steps, text: each }];
  const [cond, uncond] = [scheduled(text), scheduled(negative)];
  const windows = Math.max(...[...cond, ...uncond].map((each) => prompts.windowsOf(each.text)));
  return { prompts, cond, uncond, windows, weight };
}

/** Throws UserError for prompts that cannot be read, and for ids that do not go together. */
export async function contextsOf(
  base: Base,
  words: readonly NewToken[],
  prompt: string,
  options: ContextOptions,
  encode: Encode,
): Promise<Contexts> {
  if (options.promptIds) return contextsOfIds(options.promptIds, options.n, encode);
  const read = readPrompts(base, words, prompt, options);
  const { prompts, windows, weight } = read;
  const at = (schedule: Scheduled) => scheduledStates(schedule, windows, prompts, options, encode);
  const [conds, unconds] = [await at(read.cond), await at(read.uncond)];
  return {
    tokens: windows * prompts.window,
    weight,
    cond: (_, call) => conds(call),
    uncond: (_, call) => unconds(call),
  };
}

/** The states of a prompt's texts, by call. A1111 encodes them together, so that emphasis keeps the mean over all of them. */
async function scheduledStates(
  schedule: Scheduled,
  windows: number,
  prompts: Prompts,
  { emphasis = 'original' }: Reading,
  encode: Encode,
): Promise<(call: number) => Float32Array> {
  const encoded = [];
  for (const { text } of schedule)
    encoded.push({
      states: await encode(prompts.ids(text, windows)),
      multipliers: prompts.multipliers(text, windows),
    });
  const how = scalingOf(emphasis);
  const states =
    how && encoded.some(({ multipliers }) => multipliers)
      ? emphasise(
          encoded.map(({ states, multipliers }) => ({
            states,
            multipliers: multipliers ?? Array<number>(windows * prompts.window).fill(1),
          })),
          prompts.window,
          how,
        )
      : encoded.map((each) => each.states);
  return (call) => {
    const index = schedule.findIndex(({ last }) => call <= last);
    return states.at(index)!;
  };
}

async function contextsOfIds(
  { cond, uncond }: NonNullable<GenerateOptions['promptIds']>,
  n: number,
  encode: Encode,
): Promise<Contexts> {
  const tokens = cond[0]!.length;
  if ([...cond, ...uncond].some(({ length }) => length !== tokens))
    throw new UserError('generate: all prompts must have the same number of ids');
  const rows = async (ids: readonly (readonly number[])[]): Promise<Float32Array[]> => {
    if (ids.length !== 1 && ids.length < n)
      throw new UserError(`generate: ${ids.length} rows of ids for ${n} pictures`);
    const states = [];
    for (const row of ids) states.push(await encode(row));
    return states;
  };
  const [conds, unconds] = [await rows(cond), await rows(uncond)];
  const of = (states: readonly Float32Array[]) => (picture: number) =>
    states[states.length === 1 ? 0 : picture]!;
  return { tokens, weight: 1, cond: of(conds), uncond: of(unconds) };
}
