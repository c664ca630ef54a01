import { arch, platform, release } from 'node:os';
import { version } from '../version.ts';
import { UsageError } from './usageError.ts';
import { Interrupted, type Status, status } from './status.ts';

/** What to tell a person about an error, and with which status to end. */
export interface Failure {
  readonly status: Status;
  readonly text: string;
}

/**
 * Puts an error into words.
 * @param command as it was typed: `sdft train`
 * @param debug with the stack even where the fault is not ours
 */
export async function explain(error: unknown, command: string, debug: boolean): Promise<Failure> {
  const stack = debug ? `\n${stackOf(error)}` : '';
  if (error instanceof Interrupted) {
    return { status: status.interrupted, text: `${error.message}${stack}` };
  }
  const yours = isUserError(error) ? error : await systemFailure(error);
  if (yours !== undefined) {
    const near = yours instanceof UsageError ? await suggestion(yours) : '';
    return { status: status.yours, text: `${command}: ${yours.message}${near}${stack}` };
  }
  return { status: status.ours, text: ourFault(error, command) };
}

/** Packages that may not import one another each have a class of this name. */
const isUserError = (error: unknown): error is Error =>
  error instanceof Error && error.name === 'UserError';

async function suggestion({ misspelt }: UsageError): Promise<string> {
  if (misspelt === undefined) return '';
  // Where the engine cannot be loaded the message itself still has to be said.
  const engine = await import('@sdft/tensor').catch(() => undefined);
  const near = engine?.nearest(misspelt.name, misspelt.known);
  return near === undefined ? '' : `\nDid you mean ${near}?`;
}

/** Node's words for a machine without enough memory. */
const noMemory = (error: unknown): boolean =>
  error instanceof RangeError && /allocation failed/i.test(error.message);

/** A failed system call that no library has put into words: a full disk while a temporary file is written, say. */
async function systemFailure(error: unknown): Promise<Error | undefined> {
  if (noMemory(error))
    return new UsageError(
      'there is not enough memory; end other programs, or choose a smaller model, batch or resolution (--backend null says what a run needs)',
    );
  if (!(error instanceof Error) || !('syscall' in error)) return undefined;
  const path = 'path' in error ? String(error.path) : `writing (${String(error.syscall)})`;
  const { explainFileError } = await import('@sdft/models/node');
  const explained = explainFileError(path, error);
  return isUserError(explained) ? explained : undefined;
}

function ourFault(error: unknown, command: string): string {
  return [
    `${command}: a fault in sdft, not in what you gave it: ${error instanceof Error ? error.message : String(error)}`,
    'Please report it where you found sdft (its issue tracker), with the command that you ran and these lines:',
    `  sdft ${version()}, Node ${process.versions.node}, ${platform()} ${release()} ${arch()}`,
    stackOf(error).replace(/^/gm, '  '),
  ].join('\n');
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
