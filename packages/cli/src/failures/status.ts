/** Exit statuses of every command. */
export const status = {
  done: 0,
  /** A fault of sdft. */
  ours: 1,
  /** The input or the machine is wrong: the person who called can mend it. */
  yours: 2,
  /** Interrupted; what the message names is saved. */
  interrupted: 130,
} as const;

export type Status = (typeof status)[keyof typeof status];

/** The work was stopped from outside. The message says what was saved, and how to go on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}
