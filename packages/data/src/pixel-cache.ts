import type { Rgb } from './pixels.ts';

/** Decoded pictures kept within a byte budget; the one unused for longest goes first. */
export interface PixelCache {
  /** Picture `index`, from memory or by `decode`. Calls for the same picture share one decoding; a failed one is not kept. */
  get(index: number, decode: () => Promise<Rgb>): Promise<Rgb>;
}

/** Budget in bytes; a picture larger than all of it is never kept. */
export function pixelCache(budget: number): PixelCache {
  const kept = new Map<number, Rgb>();
  const underway = new Map<number, Promise<Rgb>>();
  let bytes = 0;

  const keep = (index: number, picture: Rgb): void => {
    kept.set(index, picture);
    bytes += picture.data.byteLength;
    for (const [oldest, held] of kept) {
      if (bytes <= budget) return;
      kept.delete(oldest);
      bytes -= held.data.byteLength;
    }
  };

  return {
    get(index, decode) {
      const held = kept.get(index);
      if (held !== undefined) {
        kept.delete(index);
        kept.set(index, held);
        return Promise.resolve(held);
      }
      const running = underway.get(index);
      if (running !== undefined) return running;
      const started = decode()
        .then((picture) => {
          keep(index, picture);
          return picture;
        })
        .finally(() => underway.delete(index));
      underway.set(index, started);
      return started;
    },
  };
}
