import { describe, expect, test } from 'vitest';
import { commands } from '../src/program/commands.ts';
import { sdft } from './sdft.ts';

describe('help', () => {
  test('sdft alone and sdft --help give an overview of every command', async () => {
    const alone = await sdft([]);
    expect(alone.code).toBe(0);
    expect(alone.stderr).toBe('');
    for (const { name, summary } of commands)
      expect(alone.stdout).toMatch(new RegExp(`^  ${name} +${summary}$`, 'm'));
    expect((await sdft(['--help'])).stdout).toBe(alone.stdout);
  });

  test.for(commands.map(({ name }) => name))('%s --help has an example', async (name) => {
    const { code, stdout, stderr } = await sdft([name, '--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toMatch(new RegExp(`Examples?:\n  sdft ${name}`));
  });

  test('--version', async () => {
    expect(await sdft(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n', stderr: '' });
  });
});

describe('a mistaken command line ends with status 2, and says what is meant', () => {
  test.for([
    [['trian'], /no command trian/, /Did you mean train\?/],
    [['--vresion'], /no flag --vresion/, /Did you mean --version\?/],
    [
      ['generate', '--promt', 'x'],
      /sdft generate: there is no flag --promt/,
      /Did you mean --prompt\?/,
    ],
    [['tokenize', '--base'], /--base <base>' argument missing/, /See sdft tokenize --help/],
    [['tokenize', 'text'], /--base <base> is missing/, /nano/],
    [['tokenize', '--base', 'nano'], /missing required argument 'text'/, /./],
    [
      ['eval', 'unett', '--base', 'nano', '--inputs', 'x', '--output', 'y'],
      /'unett' is invalid/,
      /Allowed choices are unet, text, vae-encode, vae-decode/,
    ],
    [
      ['init', 'tiny', '--out', 'x', '--seed', '-1'],
      /--seed must be a whole number, from 0 to 4294967295, not "-1"/,
      /./,
    ],
    [
      ['init', 'sdxl', '--out', 'x'],
      /no networks of SDXL/,
      /sd15, sd21, x4-upscaler, nano, tiny, upscaler-tiny are/,
    ],
    [['doctor', 'me'], /too many arguments/, /./],
  ] as const)('%j', async ([args, what, remedy]) => {
    const { code, stdout, stderr } = await sdft(args);
    expect(stderr).toMatch(what);
    expect(stderr).toMatch(remedy);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});
