/** @file Pictures from a base and from files of what was trained, without a run. */
import type { Backend } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { AdaptedNetworks } from '../encoding/adaptedNetworks.ts';
import { Executables } from '../encoding/executables.ts';
import { type Generated, Generator } from '../generation/generator.ts';
import { type GenerateOptions, pictureSize } from '../generation/settings.ts';
import type { Base } from '../training/base.ts';
import { type Learned, loadLearned } from './learned.ts';
import { checkPictureRoom, isHeld } from './room.ts';

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
  const { applied, values } = await loadLearned(base, learned);
  const backend = options.backend ?? cpu();
  const executables = new Executables(backend, options.executableBytes ?? 2 ** 30);
  const generator = new Generator(new AdaptedNetworks(base, executables, applied), {});
  const dispose = () => executables.dispose();
  return {
    check: (prompt, settings) => generator.check(prompt, settings),
    room: async (prompt, settings = {}) =>
      (await isHeld(backend))
        ? checkPictureRoom(await generator.memory(prompt, settings), pictureSize(base, settings))
        : undefined,
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
