/** @file What a hostile file makes the program do, as the operating system sees it. */
import { copyFileSync, readFileSync } from 'node:fs';
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
  // Without Node's cache of compiled sources, which it would write.
  const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' };
  const { code, stderr } = await runProgram([...watch, ...args], { cwd: folder, env });
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

/** What reads a file, and a file that it reads happily. */
const readers = [
  ['inspect', goldens('files/model-f16.ckpt'), (file: string) => ['inspect', file]],
  [
    'a base model',
    goldens('files/model-f16.ckpt'),
    (file: string) => ['tokenize', '--base', file, '--config', goldens('tiny-sd'), 'a text'],
  ],
  [
    'an embedding',
    goldens('train/ti_a1111/result.pt'),
    (file: string) => [
      ...['generate', '--base', goldens('tiny-sd'), '--embedding', file, '--prompt', 'a text'],
      ...['--steps', '1', '--size', '16x16', '--out', 'pictures', '--force'],
    ],
  ],
] as const;

// It may be there and not be allowed to look, as in some containers.
const watching = await runProgram(['strace', '-o', '/dev/null', 'true']).catch(() => undefined);

describe('a malicious file starts no process, opens no connection and no other file', () => {
  test.for(readers)('as what is read by %s', async ([name, harmless, command], { skip }) => {
    if (watching?.code !== 0)
      skip('without strace nobody sees what the program does: apt-get install strace');
    const usualFile = `${name}.harmless.pt`;
    const hostileFile = `${name}.hostile.pt`;
    copyFileSync(harmless, join(folder, usualFile));
    copyFileSync(goldens('files/malicious-sample.ckpt'), join(folder, hostileFile));

    const usual = await traced(`${name} harmless`, command(usualFile));
    expect(usual.code, usual.stderr).toBe(0);
    expect(usual).toMatchObject({ processes: [], connections: [] });
    expect(usual.files).toContain(usualFile);

    const seen = await traced(`${name} hostile`, command(hostileFile));
    expect(seen).toMatchObject({ code: 2, processes: [], connections: [], written: [] });
    expect(seen.stderr).toContain('posix.system');
    expect([...seen.files].filter((path) => !usual.files.has(path))).toEqual([hostileFile]);
  });
});
