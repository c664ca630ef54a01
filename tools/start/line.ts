/** @file The line that says how far the experiment is. */
import type { WriteStream } from 'node:tty';

/** Milliseconds between two drawings on a terminal, and between two lines elsewhere. */
const DRAW_EVERY = 200;
const LINE_EVERY = 15_000;

/** One line, drawn again and again on a terminal; now and then a line elsewhere. */
export class Line {
  readonly #stream: WriteStream;
  readonly #redrawn: boolean;
  #text = '';
  #shown = -Infinity;

  constructor(stream: WriteStream) {
    this.#stream = stream;
    this.#redrawn = stream.isTTY && process.env['TERM'] !== 'dumb';
  }

  show(text: string): void {
    this.#text = text;
    const now = performance.now();
    if (now - this.#shown < (this.#redrawn ? DRAW_EVERY : LINE_EVERY)) return;
    this.#shown = now;
    if (this.#redrawn) this.#draw();
    else this.#stream.write(`${text}\n`);
  }

  /** A text of its own above the line. */
  say(text: string): void {
    if (this.#redrawn && this.#text !== '') this.#stream.write('\r\u001b[K');
    this.#stream.write(`${text}\n`);
    if (this.#redrawn && this.#text !== '') this.#draw();
  }

  /** Takes the line away. */
  end(): void {
    if (this.#redrawn && this.#text !== '') this.#stream.write('\r\u001b[K');
    this.#text = '';
    this.#shown = -Infinity;
  }

  #draw(): void {
    // One column is left free: some terminals wrap when the last is used.
    const columns = Math.max(20, this.#stream.columns) - 1;
    this.#stream.write(`\r${this.#text.slice(0, columns)}\u001b[K`);
  }
}
