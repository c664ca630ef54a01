import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compare, named } from '../src/comparison/compare.ts';
import { sdft, temporaryFolder } from './sdft.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
writeFileSync(at('prompts.txt'), 'a boy\n');

describe('a run is a folder, or a label and a folder', () => {
  test.for([
    ['runs/boy', 'boy', 'runs/boy'],
    ['runs/boy/', 'boy', 'runs/boy'],
    ['LoRA, rank 8=runs/boy', 'LoRA, rank 8', 'runs/boy'],
    ['a=b=c', 'a', 'b=c'],
    ['<b>=runs/boy', '<b>', 'runs/boy'],
  ] as const)('%s', ([text, label, path]) => {
    expect(named(text)).toEqual({ label, folder: resolve(path) });
  });

  test('a folder whose name has = in it; a label that is none', () => {
    mkdirSync(at('x=y'));
    expect(named(at('x=y'))).toEqual({ label: 'x=y', folder: at('x=y') });
    expect(() => named(' =runs/boy')).toThrow('says no label');
  });
});

test('what is missing or wrong ends with status 2, before anything is written', async () => {
  const refused = async (what: RegExp, ...args: readonly string[]) => {
    const { code, stdout, stderr } = await sdft(['compare', ...args], { cwd: folder });
    expect(stderr).toMatch(what);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  };
  writeFileSync(at('none.txt'), '\n  \n');
  writeFileSync(at('binary.txt'), new Uint8Array([0xff, 0xfe, 0x00]));
  writeFileSync(at('there.html'), 'mine');
  const prompts = ['--prompts', 'prompts.txt'];
  const out = ['--out', 'report.html'];
  await refused(/--prompts <file> is missing/, 'x', ...out);
  await refused(/there\.html: exists already/, 'x', ...prompts, '--out', 'there.html');
  await refused(/there is no such folder/, 'nowhere', ...prompts, ...out);
  const flags = {
    n: 1,
    seed: 1,
    steps: 1,
    cfg: 1,
    backend: 'cpu',
    out: at('report.html'),
  } as const;
  const called = (prompts: string) => compare(['x'], { ...flags, prompts: at(prompts) });
  await expect(called('none.txt')).rejects.toThrow('holds no prompts');
  await expect(called('binary.txt')).rejects.toThrow('is no UTF-8 text');
  await expect(called('nowhere.txt')).rejects.toThrow('nowhere.txt');
  await expect(
    compare(['x'], { ...flags, prompts: at('prompts.txt'), out: at('report.pdf') }),
  ).rejects.toThrow('written as .html');
  expect(readdirSync(folder).sort()).toEqual([
    'binary.txt',
    'none.txt',
    'prompts.txt',
    'there.html',
    'x=y',
  ]);
});
