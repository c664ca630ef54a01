/**
 * The data or the call is wrong, and the person who called can mend it: the message says what, where, and what to do.
 * The name is the one that `@sdft/tensor` uses; this package imports no other, so it has a class of its own.
 * Tell them apart from faults of sdft by `error.name === 'UserError'`.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** A fault of sdft itself. */
export function internal(message: string): Error {
  return new Error(`internal: ${message}`);
}

/** What went wrong, in the words of whatever was thrown, on one line (libvips may gather several complaints). */
export function reason(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return words.trim().replace(/\s*\n\s*/g, '; ');
}
