import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { folderOf } from './folders.ts';

it('the example of the README runs', () => {
  const home = join(import.meta.dirname, '..');
  const [, example] = /```ts\n([^]*?)```/.exec(readFileSync(join(home, 'README.md'), 'utf8'))!;
  const sheet = join(folderOf(), 'batch.png');
  expect(example).toContain('../../out/batch.png');
  const run = spawnSync(
    process.execPath,
    [
      ...['--conditions=@sdft/source', '--input-type=module-typescript'],
      ...['--eval', example!.replace('../../out/batch.png', sheet)],
    ],
    { cwd: home, encoding: 'utf8' },
  );
  expect(run.stderr).toBe('');
  expect(run.status).toBe(0);
  expect(run.stdout).toContain('25 pictures of 64 x 64');
  expect(run.stdout).toMatch(/\[ 4, 3, 64, 64 \] a drawing of <outline>, \w/);
  expect(readFileSync(sheet).toString('latin1', 1, 4)).toBe('PNG');
});
