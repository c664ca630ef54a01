/** What a check of the machine found. */
export interface Finding {
  /** What was checked: `memory`. */
  readonly name: string;
  /** `absent`: not there, and nothing needs it. */
  readonly state: 'ok' | 'poor' | 'broken' | 'absent';
  /** What is there, for people. */
  readonly found: string;
  /** What to do about it. */
  readonly mend?: string;
  /** The same in numbers, for programs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** What an error said, on one line. */
export const lineOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!;
