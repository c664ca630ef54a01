import { status } from '../failures/status.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Milliseconds within which a second signal is the first one's echo: at a Ctrl-C, npx sends one on beside the terminal's own. */
const ECHO = 200;

let stop: (() => void) | undefined;
let askedAt: number | undefined;

/** From now on Ctrl-C ends the program at once, without unfinished files, unless `finishFirst` has something to finish. */
export function watchForInterruption(): void {
  for (const signal of SIGNALS) process.on(signal, interrupted);
}

/**
 * The first Ctrl-C calls `ask`, which sees to it that the work comes to an end soon; a second one ends the program at once.
 * @returns what takes this back
 */
export function finishFirst(ask: () => void): () => void {
  stop = ask;
  return () => {
    stop = undefined;
  };
}

/** Asks the work to come to an end soon, as a first Ctrl-C does. Returns false where there is nothing to finish. */
export function askToFinish(): boolean {
  if (stop === undefined) return false;
  if (askedAt === undefined) interrupted();
  return true;
}

function interrupted(): void {
  const now = performance.now();
  if (askedAt !== undefined && now - askedAt < ECHO) return;
  if (stop === undefined || askedAt !== undefined) endAtOnce();
  askedAt = now;
  stop?.();
}

/** Ends the program without waiting for what computes. Listeners of `exit` still remove unfinished files. */
function endAtOnce(): void {
  process.stderr.write('\ninterrupted\n');
  process.emit('exit', status.interrupted);
  // process.exit would wait for the compute thread, which cannot be stopped inside a step; a program in our place does not.
  if (typeof process.execve === 'function' && process.platform !== 'win32')
    process.execve('/bin/sh', ['sh', '-c', `exit ${status.interrupted}`], {});
  process.exit(status.interrupted);
}
