/** Keeps values still while somebody reads them where they lie: what moves them waits for its readers, and they for it. */
export class Standing {
  readonly #readers = new Set<Promise<unknown>>();
  #moving: Promise<unknown> | undefined;

  /** Calls `read` while nothing moves. Several may read at a time, and one may begin inside of another. */
  async still<T>(read: () => Promise<T>): Promise<T> {
    while (this.#moving) await this.#moving;
    const reading = read();
    return this.#while(reading, (ended) => {
      this.#readers.add(ended);
      return () => this.#readers.delete(ended);
    });
  }

  /** Calls `move` when nobody reads, and nothing else moves. Not to be called from inside of `still`, which would wait for itself. */
  async move<T>(move: () => Promise<T>): Promise<T> {
    while (this.#moving || this.#readers.size > 0)
      await (this.#moving ?? Promise.all(this.#readers));
    const moving = move();
    return this.#while(moving, (ended) => {
      this.#moving = ended;
      return () => (this.#moving = undefined);
    });
  }

  /** `begin` gets a promise that never fails, and gives what is to be done at the end. */
  async #while<T>(call: Promise<T>, begin: (ended: Promise<unknown>) => () => unknown): Promise<T> {
    const end = begin(call.catch(() => undefined));
    try {
      return await call;
    } finally {
      end();
    }
  }
}
