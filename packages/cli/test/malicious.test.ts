/** @file What a hostile file makes the program do, as the operating system sees it. */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { goldens, program, runProgram, temporaryFolder } from './sdft.ts';

const folder = temporaryFolder();
const CALLS =
  'execve,execveat,fork,vfork,clone,clone3,socket,connect,open,openat,creat,unlink,rename';

interface Seen {
  readonly code: number | null;
  readonly stderr: string;
  readonly files: ReadonlySet<string>;
  /** Opened to be written, or made. */
  readonly written: readonly string[];
  readonly processes: readonly string[];
  readonly connections: readonly string[];
}

/** Runs the program under strace. */
async function traced(name: string, args: readonly string[]): Promise<Seen> {
  const log = join(folder, `${name}.strace`);
  const watch = ['strace', '-f', '-qq', '-o', log, '-e', `trace=${CALLS}`, ...program];
  const { code, stderr } = await runProgram([...watch, ...args], { cwd: folder });
  const calls = readFileSync(log, 'utf8').split('\n');
  const opens = calls.filter((call) => /\b(open|openat|creat)\(/.test(call));
  const file = (call: string): string => /"([^"]*)"/.exec(call)?.[1] ?? '';
  return {
    code,
    stderr,
    // The operating system's own tables: which of them are read depends on the moment.
    files: new Set(opens.map(file).filter((path) => !/^\/(proc|sys)\//.test(path))),
    written: opens.filter((call) => /O_WRONLY|O_RDWR|O_CREAT/.test(call)).map(file),
    // The first execve is the program itself; threads are no processes.
    processes: [
      ...calls.filter((call) => /\bexecve(at)?\(/.test(call)).slice(1),
      ...calls.filter((call) => /\b(v?fork|clone3?)\(/.test(call) && !/CLONE_THREAD/.test(call)),
    ],
    connections: calls.filter((call) => /\b(socket|connect)\(/.test(call)),
  };
}

describe('a malicious file', () => {
  test('starts no process, opens no connection and no other file', async ({ skip }) => {
    const found = await runProgram(['strace', '-V']).catch(() => undefined);
    if (found?.code !== 0)
      skip(
        'strace is not installed, without which nobody sees what the program does: apt-get install strace',
      );
    mkdirSync(join(folder, 'models'));
    const [hostile, harmless] = ['hostile', 'harmless'].map((name) => `models/${name}.ckpt`);
    copyFileSync(goldens('files/malicious-sample.ckpt'), join(folder, hostile!));
    copyFileSync(goldens('files/model-f16.ckpt'), join(folder, harmless!));

    const usual = await traced('harmless', ['inspect', harmless!]);
    expect(usual).toMatchObject({ code: 0, processes: [], connections: [], written: [] });
    expect(usual.files).toContain(harmless);

    const seen = await traced('hostile', ['inspect', hostile!]);
    expect(seen).toMatchObject({ code: 2, processes: [], connections: [], written: [] });
    expect(seen.stderr).toContain('posix.system');
    expect([...seen.files].filter((path) => !usual.files.has(path))).toEqual([hostile]);
  });
});
