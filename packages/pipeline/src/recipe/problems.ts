import { UserError } from '@sdft/tensor';

/** Everything that is wrong, gathered so that it can be said at once. */
export class Problems {
  readonly #found: string[] = [];

  add(...problems: readonly string[]): void {
    for (const problem of problems) if (!this.#found.includes(problem)) this.#found.push(problem);
  }

  get any(): boolean {
    return this.#found.length > 0;
  }

  /** Runs `work`; a UserError becomes problems, one a line. */
  async gather<T>(work: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!isUserError(error)) throw error;
      this.add(error.message);
      return undefined;
    }
  }

  /** Throws UserError with all problems, if there are any. */
  throw(where = ''): void {
    const [only, ...others] = this.#found;
    if (only === undefined) return;
    const prefix = where === '' ? '' : `${where}: `;
    if (others.length === 0) throw new UserError(`${prefix}${only}`);
    throw new UserError(
      `${prefix}${this.#found.length} problems:${this.#found.map((problem) => `\n- ${problem.replaceAll('\n', '\n  ')}`).join('')}`,
    );
  }
}

/** The data package may not import the engine and has a class of the same name. */
const isUserError = (error: unknown): error is Error =>
  error instanceof Error && error.name === 'UserError';
