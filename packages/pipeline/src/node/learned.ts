/** @file What was learned, from its files. */
import { clipTextLayers, unetLayers } from '@sdft/models';
import { type StateValue, UserError } from '@sdft/tensor';
import type { Adapter, NewToken } from '../contracts.ts';
import type { Applied } from '../encoding/graphs.ts';
import { promptsOf } from '../encoding/prompts.ts';
import type { Base } from '../training/base.ts';
import { attach } from '../training/trainables.ts';
import { shapesOf } from './initialValues.ts';
import { trainableFile } from './trainableFile.ts';

/** An adapter, and the file that its trained values are in. */
export interface Learned {
  readonly adapter: Adapter;
  readonly file: string;
  /** How much of it counts; 1 by default. `generate` may say otherwise for a picture. */
  readonly strength?: number | undefined;
  /** For people: what is in the file. */
  readonly text?: string | undefined;
  /** How A1111's pictures tell by which file they were drawn: the setting, such as `Lora hashes`, and the first digits of the file's hash. */
  readonly mark?: { readonly setting: string; digits(): Promise<string> } | undefined;
}

/** A kind of file that what was learned comes in. */
export interface LearnedKind {
  /** Its flag on the command line, without dashes: `embedding`. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** What its files may end in, in lower case: `.safetensors`. */
  readonly endings: readonly string[];
  /** How A1111's prompts ask for a file of this kind: `lora`, for `<lora:NAME:0.8>`. Where there are none, a file's name is a word that prompts say. */
  readonly tags?: readonly string[];
  /**
   * Throws UserError, naming the file, where it is none of this kind or does not fit the base.
   *
   * @param options `name`: what prompts call it, where that is a word
   */
  open(file: string, base: Base, options?: { readonly name?: string }): Promise<Learned>;
}

/**
 * Adapters at the layers of a base, with the values in their files. They apply in the order in which they are given.
 *
 * @throws UserError, naming the file, where one cannot be read or does not fit the base, or two adapters teach the same word
 */
export async function loadLearned(
  base: Base,
  learned: readonly Learned[],
): Promise<{ readonly applied: Applied; readonly values: ReadonlyMap<string, StateValue> }> {
  const adapters = learned.map(({ adapter }) => adapter);
  const attached = attach(adapters, [
    ...unetLayers(base.unet),
    ...clipTextLayers(base.textEncoder),
  ]);
  // Words that exist already are found out here, not at the first prompt.
  promptsOf(base, wordsOf(adapters), { longPrompts: 'chunks' });
  const values = new Map<string, StateValue>();
  for (const [i, { adapter, file }] of learned.entries()) {
    const own = attached.trainables.filter((trainable) => trainable.adapter === i);
    const state = await (adapter.files ?? trainableFile).load(file, shapesOf(own));
    for (const { name, key, parameter } of own) {
      const value = state.get(key)?.[parameter];
      if (!value) throw new UserError(`${file}: holds no ${parameter} for ${key}`);
      values.set(name, value);
    }
  }
  return { applied: { adapters, attached }, values };
}

/** The words that adapters teach. */
export const wordsOf = (adapters: readonly Adapter[]): NewToken[] =>
  adapters.flatMap(({ tokens = [] }) => tokens);

/** What templates call everything that is taught; undefined where that is nothing. */
export const nameOf = (words: readonly NewToken[]): string | undefined =>
  words.length === 0 ? undefined : words.map(({ token }) => token).join(' ');
