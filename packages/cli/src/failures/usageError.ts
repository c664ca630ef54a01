/** A name that does not exist, and those that do. */
export interface Misspelt {
  readonly name: string;
  readonly known: readonly string[];
}

/**
 * The command line is wrong. It has the name of `@sdft/tensor`'s error, which would take a tenth of a second to load only to say that a
 * flag is misspelt.
 */
export class UsageError extends Error {
  override readonly name = 'UserError';
  readonly misspelt: Misspelt | undefined;

  constructor(message: string, misspelt?: Misspelt) {
    super(message);
    this.misspelt = misspelt;
  }
}
