import { type Emphasis, emphasise, type ScalingEmphasis, scalingOf } from '@sdft/models';
import { hostArray, type HostArray } from '@sdft/tensor';
import type { Base } from '../training/base.ts';
import type { Executables } from './executables.ts';
import { encodeTextGraph, nothing } from './graphs.ts';
import { LruCache } from './lru.ts';

/** Bytes of text states that are kept: 270 prompts of SD1. */
const BUDGET = 64 * 2 ** 20;

/** The frozen text encoder over single prompts, which remembers what it has encoded. */
export class PromptEncoder {
  readonly #base: Base;
  readonly #clipSkip: number;
  readonly #emphasis: ScalingEmphasis | undefined;
  readonly #executables: Executables;
  readonly #known = new LruCache<Promise<Float32Array>>(BUDGET);

  constructor(
    base: Base,
    settings: { readonly clipSkip: number; readonly emphasis: Emphasis },
    executables: Executables,
  ) {
    this.#base = base;
    this.#clipSkip = settings.clipSkip;
    this.#emphasis = scalingOf(settings.emphasis);
    this.#executables = executables;
  }

  /**
   * States [tokens, width], row-major, of a prompt's ids with start and end; as many as a window of the text encoder, or a multiple.
   *
   * @param multipliers [tokens]: what its states are emphasised by
   */
  context(ids: readonly number[], multipliers?: readonly number[]): Promise<Float32Array> {
    const key = `${ids.join()} ${multipliers?.join() ?? ''}`;
    const known = this.#known.get(key);
    if (known) return known;
    const encoded = this.#encode(ids).then((states) => {
      if (!multipliers || !this.#emphasis) return states;
      const window = this.#base.textEncoder.maxPositionEmbeddings;
      return emphasise([{ states, multipliers }], window, this.#emphasis)[0]!;
    });
    encoded.catch(() => this.#known.delete(key));
    this.#known.set(key, encoded, 4 * ids.length * this.#base.unet.crossAttentionDim);
    return encoded;
  }

  async #encode(ids: readonly number[]): Promise<Float32Array> {
    const executable = await this.#executables.get(`text ${ids.length}`, () => ({
      graph: encodeTextGraph(this.#base, ids.length, this.#clipSkip, nothing),
      weights: this.#base.weights,
    }));
    const { context } = await executable.run({
      input_ids: hostArray(Int32Array.from(ids), [1, ids.length]) as HostArray,
    });
    return context!.data as Float32Array;
  }
}
