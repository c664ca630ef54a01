import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Ended {
  readonly status: number | string | null;
  /** What it printed; `result` is its last line, as JSON. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs test/cpu/children/NAME.ts in a process of its own. `limit`: a command of the shell before it, such as `ulimit`. */
export function child(
  name: string,
  {
    args = [],
    env = {},
    limit,
    node = [],
  }: {
    args?: readonly string[];
    env?: Readonly<Record<string, string>>;
    limit?: string;
    node?: readonly string[];
  } = {},
): Promise<Ended> {
  const script = fileURLToPath(new URL(`../children/${name}.ts`, import.meta.url));
  const all = ['--conditions=@sdft/source', '--expose-gc', ...node, script, ...args];
  const [file, words] =
    limit === undefined
      ? [process.execPath, all]
      : ['/bin/sh', ['-c', `${limit}; exec "$@"`, 'sh', process.execPath, ...all]];
  const { ORT_DISABLE_TELEMETRY: _, ...inherited } = process.env;
  return new Promise((resolve) => {
    execFile(file, words, { env: { ...inherited, ...env } }, (error, stdout, stderr) => {
      resolve({ status: error ? (error.code ?? error.signal ?? null) : 0, stdout, stderr });
    });
  });
}

/** Runs it and gives the last line that it prints. Throws if it does not end well. */
export async function childResult<T>(...call: Parameters<typeof child>): Promise<T> {
  const { status, stdout, stderr } = await child(...call);
  if (status !== 0) throw new Error(`${call[0]} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T;
}
