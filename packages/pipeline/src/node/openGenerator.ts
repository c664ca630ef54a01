/** @file Pictures from a base and from files of what was trained, without a run. */
import { clipTextLayers, unetLayers } from '@sdft/models';
import { type Backend, type StateValue, UserError } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import type { Adapter } from '../contracts.ts';
import { Executables } from '../encoding/executables.ts';
import { promptsOf } from '../encoding/prompts.ts';
import { type Generated, Generator } from '../generation/generator.ts';
import { type GenerateOptions, pictureSize } from '../generation/settings.ts';
import type { Base } from '../training/base.ts';
import { attach } from '../training/trainables.ts';
import { shapesOf } from './initialValues.ts';
import { checkPictureRoom } from './room.ts';
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

/** Draws pictures; compiled networks are kept from one prompt to the next. */
export interface PictureGenerator extends AsyncDisposable {
  /** Throws UserError for options out of range and prompts that cannot be read, and computes nothing. */
  check(prompt: string, options?: GenerateOptions): void;
  /**
   * Holds what such pictures need against this machine's memory, and computes nothing.
   *
   * @returns a warning where other programs would have to make room
   * @throws UserError where it is more than the machine has
   */
  room(prompt: string, options?: GenerateOptions): Promise<string | undefined>;
  /** Throws UserError for options out of range and prompts that cannot be read. */
  generate(prompt: string, options?: GenerateOptions): Promise<Generated[]>;
  dispose(): Promise<void>;
}

/**
 * A generator over a base with what was learned. Adapters apply in the order in which they are given.
 *
 * @param options `executableBytes`: what compiled networks may take, weights aside; by default 1 GiB
 * @throws UserError, naming the file, where one cannot be read or does not fit the base, or two adapters teach the same word
 */
export async function openGenerator(
  base: Base,
  learned: readonly Learned[] = [],
  options: {
    readonly backend?: Backend | undefined;
    readonly executableBytes?: number | undefined;
  } = {},
): Promise<PictureGenerator> {
  const adapters = learned.map(({ adapter }) => adapter);
  const attached = attach(adapters, [
    ...unetLayers(base.unet),
    ...clipTextLayers(base.textEncoder),
  ]);
  // Words that exist already are found out here, not at the first prompt.
  promptsOf(
    base,
    adapters.flatMap(({ tokens = [] }) => tokens),
    { longPrompts: 'chunks' },
  );
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
  const executables = new Executables(options.backend ?? cpu(), options.executableBytes ?? 2 ** 30);
  const generator = new Generator(base, executables, { adapters, attached }, {});
  const dispose = () => executables.dispose();
  return {
    check: (prompt, settings) => generator.check(prompt, settings),
    room: async (prompt, settings = {}) =>
      checkPictureRoom(await generator.memory(prompt, settings), pictureSize(base, settings)),
    generate: (prompt, settings) =>
      generator.generate(
        prompt,
        { version: 0, values },
        { strengths: learned.map(({ strength = 1 }) => strength), ...settings },
      ),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
