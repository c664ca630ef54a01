import { ProgressLine, type ProgressOptions } from './progressLine.ts';

/**
 * Where a command speaks. Results go to stdout; under `--json` they are one JSON object a line there, and what is for people goes to
 * stderr. Remarks and progress always go to stderr.
 */
export class Output {
  readonly json: boolean;
  #line: ProgressLine | undefined;

  constructor(json: boolean) {
    this.json = json;
  }

  /** A result for programs; nothing unless `--json`. */
  record(value: object): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** A result for people. */
  print(text: string): void {
    this.#beside(() => (this.json ? process.stderr : process.stdout).write(`${text}\n`));
  }

  /** What happens, for people who watch. */
  note(text: string): void {
    this.#beside(() => process.stderr.write(`${text}\n`));
  }

  warn(text: string): void {
    this.note(`warning: ${text}`);
  }

  /** Begins to show how far the work is: a line that is drawn again and again on a terminal, now and then a line elsewhere. */
  progress(options: ProgressOptions): ProgressLine {
    this.#line?.stop();
    this.#line = new ProgressLine(options, process.stderr);
    return this.#line;
  }

  /** Takes the progress line away. */
  end(): void {
    this.#line?.stop();
    this.#line = undefined;
  }

  /** Writes above the progress line. */
  #beside(write: () => void): void {
    this.#line?.clear();
    write();
    this.#line?.draw();
  }
}
