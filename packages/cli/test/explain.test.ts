import { UserError } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { explain } from '../src/failures/explain.ts';
import { Interrupted } from '../src/failures/status.ts';
import { UsageError } from '../src/failures/usageError.ts';

/** An error of the system, as Node makes it. */
const system = (code: string, path?: string): Error =>
  Object.assign(new Error(`${code}: some words`), {
    code,
    syscall: 'write',
    ...(path && { path }),
  });

describe('statuses and words', () => {
  test('what a person can mend', async () => {
    expect(await explain(new UserError('x.ckpt: is no model'), 'sdft train', false)).toEqual({
      status: 2,
      text: 'sdft train: x.ckpt: is no model',
    });
    const typo = new UsageError('there is no flag --stesp', {
      name: '--stesp',
      known: ['--seed', '--steps'],
    });
    expect((await explain(typo, 'sdft train', false)).text).toMatch(/Did you mean --steps\?$/);
  });

  test.for([
    ['ENOSPC', 'the disk is full'],
    ['EDQUOT', 'quota'],
    ['EFBIG', 'larger than allowed'],
    ['EACCES', 'permission'],
    ['EROFS', 'read-only'],
  ] as const)('%s, from wherever it comes, is no fault of ours', async ([code, meaning]) => {
    const { status, text } = await explain(system(code, '/data/x'), 'sdft generate', false);
    expect(status).toBe(2);
    expect(text).toContain('sdft generate: /data/x: ');
    expect(text).toContain(meaning);
  });

  test('too little memory', async () => {
    const error = new RangeError('Array buffer allocation failed');
    expect(await explain(error, 'sdft eval', false)).toMatchObject({
      status: 2,
      text: expect.stringContaining('not enough memory') as string,
    });
  });

  test('interrupted', async () => {
    expect(await explain(new Interrupted('saved runs/x'), 'sdft train', false)).toEqual({
      status: 130,
      text: 'saved runs/x',
    });
  });

  test('our own fault: how to report it, with the stack', async () => {
    const { status, text } = await explain(new Error('internal: no such node'), 'sdft eval', false);
    expect(status).toBe(1);
    expect(text).toContain('a fault in sdft');
    expect(text).toContain('Please report it');
    expect(text).toMatch(/sdft 0\.1\.0, Node 2\d\.\d+/);
    expect(text).toMatch(/^ +at .*explain\.test\.ts/m);
    expect((await explain('a text', 'sdft eval', false)).status).toBe(1);
  });

  test('--debug shows where any error arose, and what caused it', async () => {
    const error = new UserError('outer', { cause: new Error('inner') });
    const { text } = await explain(error, 'sdft eval', true);
    expect(text).toMatch(/at .*explain\.test\.ts/);
    expect(text).toContain('caused by Error: inner');
  });
});
