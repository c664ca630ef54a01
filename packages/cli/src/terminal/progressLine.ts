/**
 * @file One line that says how far the work is.
 *
 * Written here rather than taken from `@clack/prompts`: that puts the terminal into raw mode and ends the process at Ctrl-C by itself, so
 * that no step could be finished and no state saved, and it has no place for loss, pace and time left.
 */
import type { WriteStream } from 'node:tty';
import { progressText, type ProgressState } from './progressText.ts';

export interface ProgressOptions {
  /** One word: `training`. */
  readonly title: string;
  /** How many steps there are. */
  readonly total: number;
  /** Steps done before this run began. */
  readonly done?: number;
  /** What one step is called; `step` by default. */
  readonly unit?: string;
}

/** What is told of a step. */
export interface Advance {
  /** As a person reads them: `loss 0.0123`. */
  readonly details?: readonly string[];
  /** More than one where several were taken at once. */
  readonly steps?: number;
  /** How long one took; by default the time since the last. */
  readonly seconds?: number;
}

/** Milliseconds between two drawings on a terminal, and between two lines elsewhere. */
const DRAW_EVERY = 100;
const LINE_EVERY = 15_000;
/** Weight of the newest step in the running mean of seconds a step. */
const NEWEST = 0.2;

/** Progress on a stream: redrawn in place on a terminal, now and then a line elsewhere. */
export class ProgressLine {
  readonly #stream: WriteStream;
  readonly #redrawn: boolean;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #first: number;
  #state: ProgressState;
  #lastStep = performance.now();
  #lastShown = this.#lastStep;
  #drawn = false;

  constructor({ title, total, done = 0, unit = 'step' }: ProgressOptions, stream: WriteStream) {
    this.#stream = stream;
    this.#first = done;
    this.#state = { title, total, done, unit, details: [], perStep: undefined, left: undefined };
    this.#redrawn = stream.isTTY && process.env['TERM'] !== 'dumb';
    if (!this.#redrawn) return;
    // The time left runs down while a long step computes.
    this.#timer = setInterval(() => this.draw(), 1000);
    this.#timer.unref();
    this.draw();
  }

  /** A step is done; pace and time left follow from how long steps take. */
  step({ details = [], steps = 1, seconds }: Advance = {}): void {
    const now = performance.now();
    const took = seconds ?? (now - this.#lastStep) / 1000 / steps;
    const { done, total, perStep } = this.#state;
    // The first step also compiles and warms up.
    const pace =
      done === this.#first
        ? undefined
        : perStep === undefined
          ? took
          : (1 - NEWEST) * perStep + NEWEST * took;
    this.#lastStep = now;
    this.#state = { ...this.#state, done: done + steps, details, perStep: pace };
    const last = done + steps >= total;
    if (this.#redrawn) {
      if (last || now - this.#lastShown >= DRAW_EVERY) this.draw();
    } else if (last || now - this.#lastShown >= LINE_EVERY) {
      this.#lastShown = now;
      this.#stream.write(`${progressText(this.#now())}\n`);
    }
  }

  draw(): void {
    if (!this.#redrawn) return;
    this.#lastShown = performance.now();
    // One column is left free: some terminals wrap when the last is used.
    const columns = Math.max(20, this.#stream.columns) - 1;
    const blocks = process.env['TERM'] !== 'linux';
    this.#stream.write(`\r${progressText(this.#now(), { columns, blocks })}\u001b[K`);
    this.#drawn = true;
  }

  /** Takes the line away; `draw` brings it back. */
  clear(): void {
    if (this.#drawn) this.#stream.write('\r\u001b[K');
    this.#drawn = false;
  }

  /** Leaves the line as it is, for good. */
  stop(): void {
    clearInterval(this.#timer);
    if (!this.#drawn) return;
    this.draw();
    this.#stream.write('\n');
    this.#drawn = false;
  }

  #now(): ProgressState {
    const { done, total, perStep } = this.#state;
    if (perStep === undefined || done >= total) return { ...this.#state, left: undefined };
    const since = (performance.now() - this.#lastStep) / 1000;
    return { ...this.#state, left: Math.max(0, (total - done) * perStep - since) };
  }
}
