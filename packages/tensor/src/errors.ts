/**
 * The input or the machine is wrong, and the person who called can mend it: the message says what, where, and what to do.
 * The command line exits with status 2 for these; every other error is a fault of sdft.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** Makes the errors of an operation in a layer ('' for none). */
export const failureIn =
  (op: string, path: string) =>
  (why: string): UserError =>
    new UserError(`${op}${path && ` in ${path}`}: ${why}`);

/** A fault of sdft itself. */
export function internal(message: string): Error {
  return new Error(`internal: ${message}`);
}

/** Closes a switch: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw internal(`unexpected ${String(value)}`);
}
