// Runs another program as if it were this one: same input and output, its exit status, signals passed on. Parses on Node 14.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Passes on to a child what asks this process to stop.
 *
 * A terminal sends Ctrl-C to every process in the foreground, so there the child has it already and this process only waits;
 * passing it on would make one Ctrl-C look like two.
 * @param {import('node:child_process').ChildProcess} child
 * @returns {() => void} ends that
 */
export function passSignals(child) {
  const terminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  /** @param {NodeJS.Signals} signal */
  const pass = (signal) => {
    if (signal !== 'SIGINT' || !terminal) child.kill(signal);
  };
  SIGNALS.forEach((signal) => process.on(signal, pass));
  return () => SIGNALS.forEach((signal) => process.removeListener(signal, pass));
}

/**
 * The exit status of a program that ended.
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 * @returns {number} 128 + the signal's number where a signal ended it
 */
export const statusOf = (code, signal) =>
  signal === null ? Number(code) : 128 + (constants.signals[signal] || 0);

/**
 * Runs a program to its end.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<number>} its exit status; 128 + the signal's number where a signal ended it
 */
export function run(program, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, Object.assign({ stdio: 'inherit' }, options));
    const done = passSignals(child);
    child.once('error', (error) => {
      done();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      done();
      resolve(statusOf(code, signal));
    });
  });
}

/**
 * Goes on as another program: in place of this process where the platform can do that, otherwise in a child process.
 * @param {string} program
 * @param {readonly string[]} args
 */
export function become(program, args) {
  if (typeof process.execve === 'function' && process.platform !== 'win32') {
    process.execve(program, [program].concat(args), process.env);
  }
  return run(program, args).then((code) => {
    process.exitCode = code;
  });
}
