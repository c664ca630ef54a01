/** @file An engine's process, from the side that gives orders. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { answerIn } from './compare.ts';
import type { Answer, EngineName, Order } from './engine.ts';

export class Player {
  readonly name: EngineName;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(name: EngineName, [program, ...args]: readonly [string, ...string[]]) {
    this.name = name;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-2000);
    });
    // A process that ended says so by the end of its stdout.
    this.#child.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** What it answers when it is ready: an engine that cannot be loaded says so. */
  async answer(): Promise<Answer> {
    const { value, done } = await this.#lines.next();
    if (!done) return answerIn(value as string);
    await this.stop();
    const { exitCode, signalCode } = this.#child;
    return { failed: `it ended with ${signalCode ?? `status ${exitCode}`}: ${this.#errors}` };
  }

  async obey(order: Order): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    return this.answer();
  }

  async stop(): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await once(this.#child, 'exit');
  }
}
