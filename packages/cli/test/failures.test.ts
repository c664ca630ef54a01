import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Weight } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { misshapen, truncated, withConfig, withNaN } from './damage.ts';
import { goldens, program, runProgram, sdft, temporaryFolder } from './sdft.ts';
import { floats, integers, write } from './tensors.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

/** Runs `sdft`, which must end with status 2, say all of `said`, and write nothing to stdout. */
async function refused(args: readonly string[], ...said: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await sdft(args);
  expect(code, stderr).toBe(2);
  for (const text of said) expect(stderr).toContain(text);
  expect(stdout).toBe('');
  expect(stderr).not.toMatch(/^ +at /m);
}

describe('a checkpoint that is', () => {
  const inspected = (path: string, ...said: readonly string[]) =>
    refused(['inspect', path], path, ...said);
  test('missing', () => inspected(at('nothing.safetensors'), 'no such file or folder'));
  test('malicious', () =>
    inspected(goldens('files/malicious-sample.ckpt'), 'posix.system', 'Nothing was run'));
  test('malformed', () => inspected(goldens('files/overlap.safetensors'), 'overlaps'));
  test('no checkpoint', () => {
    writeFileSync(at('page.ckpt'), '<!DOCTYPE html><html></html>');
    return inspected(at('page.ckpt'), 'web page');
  });

  const tokenized = (base: string, ...said: readonly string[]) =>
    refused(['tokenize', '--base', base, 'text'], ...said);
  test('truncated', () => {
    const file = truncated(at('truncated'));
    return tokenized(at('truncated'), file, 'cut');
  });
  test('misshapen', async () => {
    const base = await misshapen(at('misshapen'), 'conv_in.weight');
    await tokenized(base, base, 'unet.conv_in.weight', '[3]', '[16,4,3,3]');
  });
  test('configured for something else', () => {
    const base = withConfig(at('odd'), 'unet/config.json', { act_fn: 'mish' });
    return tokenized(base, join(base, 'unet/config.json'), 'act_fn', 'mish');
  });
  test('an embedding', () =>
    tokenized(goldens('train/ti/result.safetensors'), 'result.safetensors'));
});

describe('eval refuses', () => {
  const text = (ids: Weight, name = 'input_ids'): Promise<void> =>
    write(at('in.safetensors'), { [name]: ids });
  const evaluated = async (module: string, ...said: readonly string[]): Promise<void> => {
    const files = ['--inputs', at('in.safetensors'), '--output', at('out.safetensors')];
    await refused(['eval', module, '--base', goldens('tiny-sd'), ...files], ...said);
    expect(readdirSync(folder)).not.toContain('out.safetensors');
  };

  test('a missing input', async () => {
    await text(integers([1, 2], [1, 2]), 'ids');
    await evaluated('text', 'in.safetensors', 'input_ids [B,77] is missing', 'ids');
  });
  test('ids beyond the vocabulary', async () => {
    await text(integers([49_408, 2], [1, 2]));
    await evaluated('text', 'in.safetensors', 'input_ids', '49408', '0 to 49407');
  });
  test('a shape that does not fit', async () => {
    await write(at('in.safetensors'), { latents: floats(Array(48).fill(0), [1, 3, 4, 4]) });
    await evaluated('vae-decode', 'in.safetensors', '[B, 4, height, width]', '[1, 3, 4, 4]');
  });
  test('numbers that are none', async () => {
    await write(at('in.safetensors'), { latents: floats(Array(64).fill(NaN), [1, 4, 4, 4]) });
    await evaluated('vae-decode', 'in.safetensors', 'latents', 'NaN');
  });
  test('weights that are NaN', async () => {
    const base = withNaN(at('nan'), 'mid_block.resnets.0.conv1.weight');
    await write(at('in.safetensors'), {
      sample: floats(Array(64).fill(0), [1, 4, 4, 4]),
      timestep: integers([5], [1]),
      encoder_hidden_states: floats(Array(77 * 12).fill(0), [1, 77, 12]),
    });
    const files = ['--inputs', at('in.safetensors'), '--output', at('out.safetensors')];
    await refused(
      ['eval', 'unet', '--base', base, ...files],
      base,
      'unet.mid_block.resnets.0.conv1.weight',
      'NaN',
    );
  });
  test('to overwrite', async () => {
    writeFileSync(at('mine.safetensors'), 'mine');
    await write(at('in.safetensors'), { latents: floats(Array(64).fill(0), [1, 4, 4, 4]) });
    const files = ['--inputs', at('in.safetensors'), '--output', at('mine.safetensors')];
    await refused(
      ['eval', 'vae-decode', '--base', goldens('tiny-sd'), ...files],
      'mine.safetensors',
      '--force',
    );
  });
});

describe('a disk without room', () => {
  // A limit on the size of files stands in for a full disk: writing fails in the same place.
  test('leaves nothing half-written', async () => {
    const target = at('full');
    mkdirSync(target);
    const command = [...program, 'init', 'tiny', '--out', join(target, 'model')];
    const quoted = command.map((word) => `'${word}'`).join(' ');
    const { code, stdout, stderr } = await runProgram(['bash', '-c', `ulimit -f 500; ${quoted}`]);
    expect(stderr).toContain(join(target, 'model'));
    expect(stderr).toMatch(/larger than allowed here|disk is full/);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(readdirSync(target)).toEqual([]);
  });
});
