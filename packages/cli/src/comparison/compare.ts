import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { compareRuns, type GivenRun, Parts } from '@sdft/compare/node';
import { explainFileError, writeFileWhole } from '@sdft/models/node';
import { commandLine, fromHere } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import type { CompareFlags } from '../commands/compare.ts';
import { Interrupted } from '../failures/status.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { backendNamed } from '../options/backend.ts';
import { finishFirst } from '../program/interruption.ts';
import { Output } from '../terminal/output.ts';
import { version } from '../version.ts';

/**
 * Compares runs, and writes the page.
 *
 * @throws UserError, and Interrupted where Ctrl-C ended it
 */
export async function compare(given: readonly string[], flags: CompareFlags): Promise<void> {
  const { out, force = false, prompts: file } = flags;
  const output = new Output(flags.json ?? false);
  if (!/\.html?$/i.test(out)) throw new UserError(`--out ${out}: the page is written as .html`);
  checkTarget('--out', out, force);
  const prompts = await promptsIn(file);
  const stop = new AbortController();
  const release = finishFirst(() => {
    stop.abort();
    output.note('Ctrl-C: stopping. What was drawn so far is kept. Press it again to stop at once.');
  });
  try {
    const page = await compareRuns({
      ...flags,
      runs: given.map(named),
      prompts,
      backend: await backendNamed(flags.backend),
      command: commandLine(['sdft', ...process.argv.slice(2)]),
      version: version(),
      signal: stop.signal,
      note: (text) => output.note(text),
      progress: (work) => output.progress(work),
    });
    output.end();
    await writeFileWhole(out, [new TextEncoder().encode(page)], { force });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw new Interrupted(
      `interrupted; what was drawn is kept in ${Parts.beside(out)}, and the same command goes on from there`,
    );
  } finally {
    output.end();
    release();
  }
  output.record({ file: out });
  output.print(`${fromHere(resolve(out))}: the page; everything it needs is in it`);
  if (flags.open) show(out);
}

/** `LABEL=FOLDER` is a folder with a label, unless there is a folder of that very name. */
export function named(text: string): GivenRun {
  const [, label = '', folder = ''] = /^([^=]*)=(.+)$/s.exec(text) ?? [];
  if (folder === '' || existsSync(text))
    return { label: basename(resolve(text)), folder: resolve(text) };
  if (label.trim() === '') throw new UserError(`${text}: says no label; write LABEL=FOLDER`);
  return { label: label.trim(), folder: resolve(folder) };
}

/** The lines of a file that hold something. Throws UserError where there are none. */
async function promptsIn(file: string): Promise<string[]> {
  let bytes;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw explainFileError(`--prompts ${file}`, error);
  }
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(
      `--prompts ${file}: is no UTF-8 text; give a text file with a prompt a line`,
    );
  }
  const prompts = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (prompts.length > 0) return prompts;
  throw new UserError(`--prompts ${file}: holds no prompts; write a prompt a line`);
}

/** Opens a file in what the system opens it with; where that fails, the path was printed. */
function show(path: string): void {
  const [program, ...args] =
    process.platform === 'darwin'
      ? ['open']
      : process.platform === 'win32'
        ? ['cmd', '/c', 'start', '']
        : ['xdg-open'];
  const child = spawn(program!, [...args, resolve(path)], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}
