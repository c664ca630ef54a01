import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePng } from '@sdft/data/node';
import ndarray from 'ndarray';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { goldens, jsonLines, sdft, temporaryFolder } from './sdft.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const run = (...args: readonly string[]) => sdft(args, { cwd: folder });

/** A PNG with a text, and nothing on it. */
const picture = (name: string, parameters: string) =>
  writePng(at(name), ndarray(new Uint8Array(3 * 64), [8, 8, 3]), { texts: { parameters } });

describe('the settings in a picture', () => {
  test('draw it again, flags overriding them, and inspect shows them', async () => {
    const prompt = 'a (drawing:1.3) of 少年, "boy": outline';
    const drawn = await run(
      ...['generate', '--base', 'nano', '--prompt-syntax', 'a1111', '--prompt', prompt],
      ...['--negative', 'a, b', '--steps', '2', '--cfg', '3', '--seed', '7', '--size', '64'],
      ...['--sampler', 'euler', '--sigmas', 'karras', '--emphasis', 'no-norm', '--out', 'first'],
    );
    expect(drawn.code, drawn.stderr).toBe(0);
    const like = ['generate', '--base', 'nano', '--like', 'first/00000-seed-7.png'];
    const again = await run(...like, '--out', 'again');
    expect(again.code, again.stderr).toBe(0);
    const first = readFileSync(at('first/00000-seed-7.png'));
    expect(readFileSync(at('again/00000-seed-7.png'))).toEqual(first);
    const other = await run(
      ...like,
      '--seed',
      '8',
      '--sampler',
      'ddim',
      '--sigmas',
      'normal',
      '--out',
      'other',
    );
    expect(other.code, other.stderr).toBe(0);
    expect(readFileSync(at('other/00000-seed-8.png')).equals(first)).toBe(false);

    const [told] = jsonLines(await run('inspect', 'first/00000-seed-7.png', '--json'));
    expect(told).toMatchObject({
      format: 'png',
      metadata: {
        prompt,
        negative: 'a, b',
        settings: {
          Steps: '2',
          Sampler: 'Euler',
          'Schedule type': 'Karras',
          'CFG scale': '3',
          Seed: '7',
          Size: '64x64',
          Model: 'nano',
          Emphasis: 'No norm',
        },
      },
    });
    const shown = await run('inspect', 'first/00000-seed-7.png');
    expect(shown.stdout).toContain('Negative prompt: a, b\nSteps: 2, Sampler: Euler');
  });

  test('are those of A1111, too', async () => {
    await picture(
      'theirs.png',
      'a boy\nSteps: 1, Sampler: DPM++ 2M Karras, CFG scale: 4.5, Seed: 11, Size: 64x64, Model hash: abc, Clip skip: 2, ENSD: 31337',
    );
    const drawn = await run('generate', '--base', 'nano', '--like', 'theirs.png', '--out', 't');
    expect(drawn.code, drawn.stderr).toBe(0);
    const [told] = jsonLines(await run('inspect', 't/00000-seed-11.png', '--json'));
    expect(told).toMatchObject({
      metadata: {
        prompt: 'a boy',
        settings: { Sampler: 'DPM++ 2M', 'Schedule type': 'Karras', 'Clip skip': '2' },
      },
    });
  });

  test('are refused where they are missing or not known here', async () => {
    await picture('strange.png', 'a\nSteps: 1, Sampler: Heun, CFG scale: 4, Seed: 1, Size: 64x64');
    await writePng(at('none.png'), ndarray(new Uint8Array(3 * 64), [8, 8, 3]));
    for (const [file, said] of [
      ['strange.png', 'its Sampler is "Heun"; known here are DDIM'],
      ['none.png', 'holds no text "parameters"'],
      ['missing.png', 'cannot be read'],
    ] as const) {
      const { code, stderr } = await run(
        'generate',
        '--base',
        'nano',
        '--like',
        file,
        '--out',
        'no',
      );
      expect(stderr).toContain(said);
      expect(code).toBe(2);
    }
  });
});

describe('a picture to start from', () => {
  test('is changed as far as the strength says', async () => {
    const flags = ['generate', '--base', 'nano', '--prompt', 'a boy', '--seed', '3', '--cfg', '3'];
    const drawn = await run(...flags, '--steps', '4', '--size', '64', '--out', 'i1');
    expect(drawn.code, drawn.stderr).toBe(0);
    const start = ['--init-image', 'i1/00000-seed-3.png', '--steps', '8'];
    const away = async (name: string, strength: string): Promise<number> => {
      const ended = await run(...flags, ...start, '--strength', strength, '--out', name);
      expect(ended.code, ended.stderr).toBe(0);
      const [a, b] = await Promise.all(
        ['i1', name].map((each) =>
          sharp(at(`${each}/00000-seed-3.png`))
            .raw()
            .toBuffer(),
        ),
      );
      return a!.reduce((sum, value, i) => sum + Math.abs(value - b![i]!), 0) / a!.length;
    };
    const [little, much] = [await away('i2', '0.2'), await away('i3', '1')];
    expect(little).toBeLessThan(much);

    // What the text of a picture cannot hold is asked for, and the rest comes from it.
    const like = ['generate', '--base', 'nano', '--like', 'i2/00000-seed-3.png'];
    const alone = await run(...like, '--out', 'i4');
    expect(alone).toMatchObject({ code: 2, stdout: '' });
    expect(alone.stderr).toContain('drawn from another picture (00000-seed-3.png)');
    const again = await run(...like, '--init-image', 'i1/00000-seed-3.png', '--out', 'i4');
    expect(again.code, again.stderr).toBe(0);
    const bytes = (name: string) => readFileSync(at(`${name}/00000-seed-3.png`));
    expect(bytes('i4').equals(bytes('i2'))).toBe(true);
    const [told] = jsonLines(await run('inspect', 'i2/00000-seed-3.png', '--json'));
    expect(told).toMatchObject({ metadata: { settings: { 'Denoising strength': '0.2' } } });
  });

  test.each([
    [['--mask', 'none.png'], '--init-image FILE'],
    [['--strength', '0.5'], '--init-image FILE'],
    [['--init-image', 'none.png', '--mask', 'none.png'], 'made for inpainting, which nano is not'],
    [['--init-image', 'missing.png'], 'missing.png'],
  ])('%j is refused', async (flags, said) => {
    await writePng(at('none.png'), ndarray(new Uint8Array(3 * 64), [8, 8, 3]), { force: true });
    const { code, stderr } = await run(
      ...['generate', '--base', 'nano', '--prompt', 'a', '--out', 'no', ...flags],
    );
    expect(stderr).toContain(said);
    expect(code).toBe(2);
  });
});

test('a picture tells by which files it was drawn, as A1111 does', async () => {
  const [lora, word] = ['train/lora/result.safetensors', 'train/ti/result.safetensors'].map(
    goldens,
  );
  const drawn = await run(
    ...['generate', '--base', goldens('tiny-sd'), '--lora', `${lora!}:0.5`, '--embedding', word!],
    ...['--vae', goldens('tiny-sd/vae'), '--prompt', 'a boy', '--steps', '1', '--size', '64'],
    ...['--seed', '1', '--out', 'marks'],
  );
  expect(drawn.code, drawn.stderr).toBe(0);
  const [told] = jsonLines(await run('inspect', 'marks/00000-seed-1.png', '--json'));
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const file = readFileSync(lora!);
  const content = file.subarray(8 + Number(file.readBigUInt64LE(0)));
  expect(told).toMatchObject({
    metadata: {
      settings: {
        'Lora hashes': `result: ${sha256(content).slice(0, 12)}`,
        'TI hashes': `result: ${sha256(readFileSync(word!)).slice(0, 12)}`,
        VAE: 'vae',
      },
    },
  });
});
