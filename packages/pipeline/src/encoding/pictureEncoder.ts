import { hostArray, type HostArray } from '@sdft/tensor';
import type { Base } from '../training/base.ts';
import type { Executables } from './executables.ts';
import { encodePictureGraph } from './graphs.ts';
import { LruCache } from './lru.ts';

/** Mean and standard deviation of a picture's latents, unscaled, row-major; both [C,h,w]. */
export interface Moments {
  readonly mean: Float32Array;
  readonly std: Float32Array;
}

/** The VAE's encoder over single pictures, which remembers what it has encoded. */
export class PictureEncoder {
  readonly #base: Base;
  readonly #executables: Executables;
  readonly #known: LruCache<Promise<Moments>>;

  /** @param budget bytes of moments that are kept */
  constructor(base: Base, executables: Executables, budget: number) {
    this.#base = base;
    this.#executables = executables;
    this.#known = new LruCache(budget);
  }

  /**
   * The moments of a picture.
   *
   * @param key says what is in the picture: the same key, the same pixels
   * @param cells of its latents, per channel
   * @param pixels f32 [3,H,W] in -1..1, asked for where the picture is not known yet
   */
  moments(key: string, cells: number, pixels: () => Promise<HostArray>): Promise<Moments> {
    const known = this.#known.get(key);
    if (known) return known;
    const encoded = pixels().then((picture) => this.#encode(picture));
    encoded.catch(() => this.#known.delete(key));
    this.#known.set(key, encoded, 8 * this.#base.vae.latentChannels * cells);
    return encoded;
  }

  async #encode(picture: HostArray): Promise<Moments> {
    const [channels, height, width] = picture.shape as [number, number, number];
    const executable = await this.#executables.get(`vae-encode ${height}x${width}`, () => ({
      graph: encodePictureGraph(this.#base, height, width),
      weights: this.#base.weights,
    }));
    const { mean, std } = await executable.run({
      pixels: hostArray(picture.data as Float32Array, [1, channels, height, width]) as HostArray,
    });
    return { mean: mean!.data as Float32Array, std: std!.data as Float32Array };
  }
}
