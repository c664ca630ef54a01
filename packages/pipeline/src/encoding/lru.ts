/** Values by key within a budget of bytes: what was used longest ago goes first. */
export class LruCache<T> {
  readonly #entries = new Map<string, { readonly value: T; readonly bytes: number }>();
  readonly #budget: number;
  readonly #dropped: (value: T) => void;
  #bytes = 0;

  /** @param dropped hears of each value that has to go */
  constructor(budget: number, dropped: (value: T) => void = () => undefined) {
    this.#budget = budget;
    this.#dropped = dropped;
  }

  get(key: string): T | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** Keeps a value, whatever its size; older ones make room. */
  set(key: string, value: T, bytes: number): void {
    this.delete(key);
    this.#entries.set(key, { value, bytes });
    this.#bytes += bytes;
    for (const old of this.#entries.keys()) {
      if (this.#bytes <= this.#budget || old === key) return;
      this.delete(old);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    this.#dropped(entry.value);
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.delete(key);
  }
}
