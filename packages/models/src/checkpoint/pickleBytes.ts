import type { UserError } from '@sdft/tensor';
import type { ByteSource } from './byteSource.ts';
import { utf8 } from './pickleText.ts';

/** Reads a pickle's bytes one after the other from a source, in windows: the end of a pickle is only known when it is reached. */
export class PickleBytes {
  /** Place of the next byte in the source. */
  at: number;
  readonly #source: ByteSource;
  readonly #end: number;
  readonly #broken: (why: string) => UserError;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;

  /**
   * @param limit bytes that the pickle may have at most
   * @param broken makes the error for a pickle that runs past its end
   */
  constructor(
    source: ByteSource,
    start: number,
    limit: number,
    broken: (why: string) => UserError,
  ) {
    this.#source = source;
    this.at = start;
    this.#end = Math.min(source.size, start + limit);
    this.#broken = broken;
  }

  byte(): number {
    return this.bytes(1)[0]!;
  }

  /** A view that stays valid only until the next call. */
  bytes(length: number): Uint8Array {
    const from = this.at - this.#windowStart;
    if (from < 0 || from + length > this.#window.length) return this.#refill(length);
    this.at += length;
    return this.#window.subarray(from, from + length);
  }

  /** Little-endian unsigned integer of 1, 2, 4 or 8 bytes. */
  unsigned(length: number): number {
    const bytes = this.bytes(length);
    let value = 0;
    for (let i = length - 1; i >= 0; i--) value = value * 256 + bytes[i]!;
    return value;
  }

  view(length: number): DataView {
    const bytes = this.bytes(length);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }

  /** The text up to the next line end, which is consumed. */
  line(decode: (bytes: Uint8Array) => string = utf8): string {
    const start = this.at;
    const most = 2 ** 20;
    for (let length = 0; length < most; length++) {
      if (this.byte() === 0x0a) {
        this.at = start;
        const text = decode(this.bytes(length));
        this.at++;
        return text;
      }
    }
    throw this.#broken(`a line at byte ${start} is longer than ${most} characters`);
  }

  #refill(length: number): Uint8Array {
    if (this.at + length > this.#end) throw this.#broken(`it ends inside, at byte ${this.#end}`);
    this.#windowStart = this.at;
    this.#window = this.#source.read(
      this.at,
      Math.min(this.#end - this.at, Math.max(length, 65_536)),
    );
    return this.bytes(length);
  }
}
