/** @file Where results go is looked at before the work. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkTarget } from '../src/files/checkTarget.ts';
import { pathOf, runProgram, sdft, temporaryFolder } from './sdft.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

mkdirSync(at('folder'));
mkdirSync(at('empty'));
writeFileSync(at('folder/mine'), 'mine');
writeFileSync(at('file'), 'mine');
symlinkSync(at('nowhere'), at('dead'));
symlinkSync(at('round'), at('round'));

describe('a target', () => {
  test.for([
    ['file', 'file', /exists already; nothing is overwritten without --force/],
    ['dead', 'file', /exists already/],
    ['round', 'file', /exists already/],
    ['file/new', 'file', /file is no folder/],
    ['file/deeper/new', 'file', /file is no folder/],
    ['round/new', 'file', /round is no folder/],
    ['x'.repeat(241), 'file', /name is too long/],
    ['folder', 'folder', /exists already/],
  ] as const)('%s is refused as a new %s', ([name, kind, why]) => {
    expect(() => checkTarget('--out', at(name), false, kind)).toThrow(why);
    expect(() => checkTarget('--out', at(name), false, kind)).toThrow(`--out ${at(name)}: `);
  });
  test.for([
    ['folder', 'file', /is a folder; name a file/],
    ['file', 'folder', /file is no folder/],
    ['round', 'folder', /round is no folder/],
  ] as const)('%s is refused as a %s even by force', ([name, kind, why]) => {
    expect(() => checkTarget('--out', at(name), true, kind)).toThrow(why);
  });
  test.for([
    ['new', 'file', false],
    ['folder/new', 'file', false],
    ['deep/er/new', 'folder', false],
    ['empty', 'folder', false],
    ['file', 'file', true],
    ['folder', 'folder', true],
  ] as const)('%s is taken as a %s (force: %s)', ([name, kind, force]) => {
    checkTarget('--out', at(name), force, kind);
  });

  test('in a folder that may not be written is refused', async () => {
    mkdirSync(at('locked'), { mode: 0o555 });
    chmodSync(folder, 0o755);
    const script = `
      const { checkTarget } = await import('${pathOf('packages/cli/src/files/checkTarget.ts')}');
      // The superuser may write everywhere.
      if (process.getuid() === 0) process.setuid(65534);
      checkTarget('--out', '${at('locked/new/er')}', false);`;
    const program = [process.execPath, '--conditions=@sdft/source', '--input-type=module', '-e'];
    const { stderr } = await runProgram([...program, script]);
    expect(stderr).toMatch(
      /UserError\]: --out \S+locked\/new\/er: you may not write in \S+locked;/,
    );
  });
});

describe('refused before anything is computed:', () => {
  const refused = async (args: readonly string[], said: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await sdft(args, { cwd: folder });
    expect(stderr).toMatch(said);
    expect(stderr).not.toContain('drawing');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  };
  const draw = ['generate', '--base', 'nano', '--prompt', 'x', '--seed', '1'];
  test('pictures inside a file', () =>
    refused([...draw, '--out', 'file'], /^sdft generate: --out file.*: \S+file is no folder$/m));
  test('latents in place of a folder', () =>
    refused(
      [...draw, '--out', 'p', '--save-latents', 'folder', '--force'],
      /^sdft generate: --save-latents folder: is a folder; name a file$/m,
    ));
  test('latents and their way in one file', () =>
    refused(
      [...draw, '--out', 'p', '--save-latents', 'a', '--save-trajectory', 'a'],
      /--save-latents and --save-trajectory need a file each/,
    ));
  test('pictures nowhere', () => refused([...draw, '--out', ''], /--out <dir> is missing/));
  test('a model at the end of links that lead round', () =>
    refused(['init', 'tiny', '--out', 'round/x'], /--out round\/x: \S+round is no folder/));
  test('a model in the place of a file', () =>
    refused(['init', 'tiny', '--out', 'file', '--force'], /--out file: \S+file is no folder/));
  test('a checkpoint in a layout that nobody writes', () =>
    refused(['convert', 'nano', 'out.gguf'], /out.gguf: a checkpoint is written as one .safetens/));
  test('a run inside a file', () =>
    refused(
      [
        ...['train', 'textual-inversion', '--base', 'nano', '--images', '.', '--token', '<x>'],
        ...['--init', 'boy', '--out', 'x.pt', '--log-dir', 'file'],
      ],
      /^sdft train: --log-dir file: \S+file is no folder$/m,
    ));
});
