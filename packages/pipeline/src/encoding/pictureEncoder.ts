import { hostArray, type HostArray, type MemoryPlan, nullBackend } from '@sdft/tensor';
import type { Base } from '../training/base.ts';
import type { Executables } from './executables.ts';
import { encodePictureGraph } from './graphs.ts';
import { LruCache } from './lru.ts';

/** Mean and standard deviation of a picture's latents, unscaled, row-major; both [C,h,w]. */
export interface Moments {
  readonly mean: Float32Array;
  readonly std: Float32Array;
}

/** A picture that waits for others to be encoded with it. */
interface Waiting {
  readonly picture: HostArray;
  resolve(moments: Moments): void;
  reject(error: unknown): void;
}

/** The VAE's encoder over pictures, which remembers what it has encoded. */
export class PictureEncoder {
  readonly #base: Base;
  readonly #executables: Executables;
  readonly #known: LruCache<Promise<Moments>>;
  readonly #batch: number;
  #waiting: Waiting[] = [];

  /** @param options `budget`: bytes of moments that are kept; `batch`: pictures that are encoded at a time, where so many are asked for at once */
  constructor(
    base: Base,
    executables: Executables,
    { budget, batch = 1 }: { readonly budget: number; readonly batch?: number },
  ) {
    this.#base = base;
    this.#executables = executables;
    this.#known = new LruCache(budget);
    this.#batch = batch;
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
    const encoded = pixels().then((picture) =>
      this.#batch === 1
        ? this.#encode([picture]).then(([moments]) => moments!)
        : new Promise<Moments>((resolve, reject) => this.#wait({ picture, resolve, reject })),
    );
    encoded.catch(() => this.#known.delete(key));
    this.#known.set(key, encoded, 8 * this.#base.vae.latentChannels * cells);
    return encoded;
  }

  /** What its network needs for pictures of [height, width]; nothing is computed. */
  async memory([height, width]: readonly [number, number]): Promise<MemoryPlan> {
    const graph = encodePictureGraph(this.#base, height, width, this.#batch);
    return (await nullBackend.compile(graph)).memory;
  }

  /** Puts a picture to those that wait. They go together once they are enough, or nobody comes any more. */
  #wait(one: Waiting): void {
    this.#waiting.push(one);
    if (this.#waiting.length === 1) setTimeout(() => this.#flush());
    if (this.#waiting.length === this.#batch) this.#flush();
  }

  #flush(): void {
    const together = this.#waiting;
    this.#waiting = [];
    if (together.length === 0) return;
    // The last ones are filled up with themselves: one executable serves all.
    const pictures = Array.from(
      { length: this.#batch },
      (_, i) => together[Math.min(i, together.length - 1)]!.picture,
    );
    this.#encode(pictures).then(
      (moments) => together.forEach(({ resolve }, i) => resolve(moments[i]!)),
      (error: unknown) => together.forEach(({ reject }) => reject(error)),
    );
  }

  /** Moments of pictures of one size. */
  async #encode(pictures: readonly HostArray[]): Promise<Moments[]> {
    const [channels, height, width] = pictures[0]!.shape as [number, number, number];
    const size = pictures.length;
    const name = `vae-encode ${size === 1 ? '' : `${size} of `}${height}x${width}`;
    const executable = await this.#executables.get(name, () => ({
      graph: encodePictureGraph(this.#base, height, width, size),
      weights: this.#base.weights,
    }));
    const pixels = new Float32Array(size * channels * height * width);
    pictures.forEach(({ data }, i) => pixels.set(data, i * data.length));
    const { mean, std } = await executable.run({
      pixels: hostArray(pixels, [size, channels, height, width]) as HostArray,
    });
    const part = ({ data }: HostArray, i: number): Float32Array => {
      const one = data.length / size;
      return (data as Float32Array).slice(i * one, (i + 1) * one);
    };
    return pictures.map((_, i) => ({ mean: part(mean!, i), std: part(std!, i) }));
  }
}
