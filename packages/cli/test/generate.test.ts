import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { describe, expect, test } from 'vitest';
import sharp from 'sharp';
import { goldens, jsonLines, pathOf, sdft, temporaryFolder } from './sdft.ts';
import { errorOf, floats, numbers, tensor, write } from './tensors.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const run = (...args: readonly string[]) => sdft(['generate', ...args], { cwd: folder });

describe('samplers, against diffusers', () => {
  const file = goldens('forward/tiny-sd.sampling.safetensors');
  const cases: readonly (readonly [golden: string, calls: number, ...flags: string[]])[] = [
    ['ddim', 10, 'ddim'],
    ['euler', 10, 'euler'],
    ['euler_linspace', 10, 'euler', '--spacing', 'linspace'],
    ['euler_karras', 10, 'euler', '--spacing', 'linspace', '--sigmas', 'karras'],
    ['pndm', 11, 'plms'],
    ['dpmpp_2m', 10, 'dpmpp-2m'],
    ['dpmpp_2m_karras', 10, 'dpmpp-2m', '--spacing', 'linspace', '--sigmas', 'karras'],
  ];

  test.for(cases)('%s', async ([golden, calls, ...flags]) => {
    const [ids, latents, final, trajectory] = ['ids', 'latents', 'final', 'trajectory'].map(
      (name) => at(`${golden}.${name}.safetensors`),
    ) as [string, string, string, string];
    await write(ids, {
      cond_ids: tensor(file, 'cond_ids'),
      uncond_ids: tensor(file, 'uncond_ids'),
    });
    await write(latents, { latents: tensor(file, 'initial_latents') });
    const ended = await run(
      ...['--base', goldens('tiny-sd'), '--prompt-ids', ids, '--latents', latents],
      ...['--steps', '10', '--cfg', '7.5', '--sampler', ...flags, '--out', golden],
      ...['--save-latents', final, '--save-trajectory', trajectory],
    );
    expect(ended.code, ended.stderr).toBe(0);
    expect(openSafetensors(trajectory).tensors.size).toBe(calls);
    for (const [path, ours, theirs] of [
      [trajectory, 'latents.0', 'after_step_0'],
      [trajectory, 'latents.4', 'after_step_4'],
      [trajectory, `latents.${calls - 1}`, 'final_latents'],
      [final, 'latents', 'final_latents'],
    ] as const) {
      expect(tensor(path, ours).shape).toEqual([2, 4, 8, 8]);
      const { rms } = errorOf(numbers(path, ours), numbers(file, `${golden}.${theirs}`));
      expect(rms, `${golden}, ${theirs}`).toBeLessThanOrEqual(1e-4);
    }
    if (golden === 'ddim') await expectPictures(golden, numbers(file, 'ddim.decoded'));
  });

  /** The pictures hold what diffusers decoded, as bytes. */
  async function expectPictures(name: string, decoded: Float32Array): Promise<void> {
    const files = readdirSync(at(name)).sort();
    expect(files.length).toBe(2);
    const plane = 64 * 64;
    for (const [i, png] of files.entries()) {
      const { data, info } = await sharp(at(join(name, png)))
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect(info).toMatchObject({ width: 64, height: 64, channels: 3 });
      const off = Array.from(data, (byte, at_) => {
        const value = decoded[3 * plane * i + (at_ % 3) * plane + Math.floor(at_ / 3)]!;
        return Math.abs(byte - 255 * Math.min(1, Math.max(0, value / 2 + 0.5)));
      });
      // Rounding to bytes is half a step.
      expect(Math.max(...off)).toBeLessThan(0.51);
    }
  }
});

describe('a trained word, against diffusers', () => {
  const trained = goldens('train/ti/result.safetensors');
  const theirs = pathOf('fixtures/embeddings/diffusers.safetensors');
  const flags = (ids: string): readonly string[] => [
    ...['--base', goldens('tiny-sd'), '--prompt-ids', ids, '--out', 'word'],
    ...['--latents', pathOf('fixtures/embeddings/start.safetensors')],
    ...['--steps', '10', '--cfg', '7.5', '--save-latents', 'word-latents.safetensors'],
  ];
  const ids = at('word-ids.safetensors');

  test('by the ids that it has there', async () => {
    await write(ids, {
      cond_ids: tensor(theirs, 'one.safetensors.cond_ids'),
      uncond_ids: tensor(theirs, 'one.safetensors.uncond_ids'),
    });
    const ended = await run(...flags(ids), '--embedding', trained);
    expect(ended.code, ended.stderr).toBe(0);
    const { largest } = errorOf(
      numbers(at('word-latents.safetensors'), 'latents'),
      numbers(theirs, 'one.safetensors.final_latents'),
    );
    expect(largest).toBeLessThanOrEqual(1e-4);
  });

  test('ids of words that are not there are refused', async () => {
    const ended = await run(...flags(ids), '--force');
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('cond_ids holds 49408; there are ids 0 to 49407');
  });
});

describe('on the model that comes along', () => {
  const draw = (...more: readonly string[]) =>
    run('--base', 'nano', '--steps', '2', '--cfg', '4', ...more);

  /** Of the picture in a folder; its file also holds the settings, as a text. */
  const pixelsOf = (name: string): Promise<Buffer> =>
    sharp(at(`${name}/00000-seed-1.png`))
      .raw()
      .toBuffer();

  test('pictures are numbered, tell their seeds, and come again with them', async () => {
    const prompts = ['--prompt', 'a flat drawing of boy', '--prompt', 'a soft drawing of boy'];
    const ended = await draw(...prompts, '-n', '2', '--seed', '5', '--out', 'a', '--json');
    expect(ended.code, ended.stderr).toBe(0);
    const names = ['00000-seed-5', '00001-seed-6', '00002-seed-5', '00003-seed-6'];
    expect(readdirSync(at('a')).sort()).toEqual(names.map((name) => `${name}.png`));
    expect(jsonLines(ended)).toEqual(
      names.map((name, i) => ({
        file: join('a', `${name}.png`),
        seed: 5 + (i % 2),
        prompt: prompts[i < 2 ? 1 : 3],
      })),
    );

    const again = await draw('--prompt', prompts[1]!, '--seed', '6', '--out', 'b');
    expect(again).toMatchObject({ code: 0, stdout: `${join('b', '00000-seed-6.png')}\n` });
    // Products of more rows are rounded otherwise, so a few numbers may lie a level beside; of different seeds thousands do.
    const [alone, beside, other] = await Promise.all(
      ['b/00000-seed-6.png', 'a/00001-seed-6.png', 'a/00000-seed-5.png'].map((file) =>
        sharp(at(file)).raw().toBuffer(),
      ),
    );
    const differences = (one: Buffer): number[] =>
      [...alone!]
        .map((value, i) => Math.abs(value - one[i]!))
        .filter((difference) => difference > 0);
    expect(differences(beside!).length).toBeLessThan(20);
    expect(Math.max(0, ...differences(beside!))).toBeLessThanOrEqual(1);
    expect(differences(other!).length).toBeGreaterThan(1000);
  });

  test('prompts are read as A1111 reads them where asked', async () => {
    const flags = ['--seed', '1', '--size', '64x64', '--negative', 'a (frame:1.1)'];
    const picture = async (name: string, prompt: string, ...more: readonly string[]) => {
      const ended = await draw(...flags, '--prompt', prompt, ...more, '--out', name);
      expect(ended.code, ended.stderr).toBe(0);
      return pixelsOf(name);
    };
    const a1111 = ['--prompt-syntax', 'a1111'];
    const emphasised = await picture('s1', 'a drawing of (boy:1.6)', ...a1111);
    expect(emphasised.equals(await picture('s2', 'a drawing of (boy:1.6)'))).toBe(false);
    const ignored = [...a1111, '--emphasis', 'ignore'];
    expect(emphasised.equals(await picture('s3', 'a drawing of (boy:1.6)', ...ignored))).toBe(
      false,
    );
    expect(await picture('s4', 'a drawing of [girl:(boy:1.6):0]', ...a1111)).toEqual(emphasised);
  });

  test('a trained word changes what is drawn; it is called as the file says', async () => {
    const vectors = (value: number) => floats(Array(320).fill(value), [2, 160]);
    await write(at('word.safetensors'), { '<thing>': vectors(0.05) });
    const flags = ['--prompt', 'a <thing>', '--seed', '1', '--size', '64x64'];
    const ended = await draw(...flags, '--embedding', 'word.safetensors', '--out', 'with');
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain('word.safetensors: 2 vectors; prompts call it <thing>');
    await draw(...flags, '--out', 'without');
    expect((await pixelsOf('with')).equals(await pixelsOf('without'))).toBe(false);
  });
});

describe('refused:', () => {
  const refused = async (args: readonly string[], ...said: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await run('--base', 'nano', '--out', 'no', ...args);
    for (const text of said) expect(stderr).toContain(text);
    expect(stderr).not.toMatch(/^drawing/m);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(existsSync(at('no'))).toBe(false);
  };
  test('nothing to draw', () => refused([], '--prompt'));
  test('a size that is no multiple of a latent', () =>
    refused(['--prompt', 'x', '--size', '63x64'], '--size 63x64', '8 x 8', '56x64 or 64'));
  test('a size beyond all pictures', () =>
    refused(['--prompt', 'x', '--size', '99999'], '--size', '8 to 4096'));
  test('layers that the text encoder does not have', () =>
    refused(['--prompt', 'x', '--clip-skip', '4'], '--clip-skip 4', '3 layers'));
  test('more steps than there are timesteps', () =>
    refused(['--prompt', 'x', '--steps', '1001'], '--steps 1001', '1000 timesteps'));
  test('a size that is none', () => refused(['--prompt', 'x', '--size', 'big'], '--size', '"big"'));
  test('prompts that cannot be read', async () => {
    const flags = ['--prompt-syntax', 'a1111', '--prompt', 'a boy', '--prompt'];
    await refused([...flags, 'a (b:1.2.3)'], '1.2.3', 'no number');
    await refused([...flags, 'a AND b'], 'AND');
  });
  test('an embedding for another model', () =>
    refused(
      ['--prompt', 'x', '--embedding', goldens('train/ti/result.safetensors')],
      'result.safetensors',
      '12 wide',
      '160',
    ));
  test('Karras levels where there are none', () =>
    refused(['--prompt', 'x', '--sigmas', 'karras'], '--sampler ddim', 'karras', 'euler'));
  test('latents of another model', async () => {
    await write(at('latents.safetensors'), { latents: floats(Array(256).fill(0), [1, 4, 8, 8]) });
    await refused(['--prompt', 'x', '--latents', 'latents.safetensors'], 'latents', '[B, 8, h, w]');
  });
  test('numbers of pictures that disagree', async () => {
    await write(at('two.safetensors'), { latents: floats(Array(1024).fill(0), [2, 8, 8, 8]) });
    await refused(['--prompt', 'x', '-n', '3', '--latents', 'two.safetensors'], '-n', '--latents');
  });
  test('to overwrite a picture', async () => {
    mkdirSync(at('yes'));
    writeFileSync(at('yes/00000-seed-1.png'), 'mine');
    const { code, stderr } = await run(
      ...['--base', 'nano', '--prompt', 'x', '--seed', '1', '--out', 'yes'],
    );
    expect(code).toBe(2);
    expect(stderr).toContain('00000-seed-1.png');
    expect(readFileSync(at('yes/00000-seed-1.png'), 'utf8')).toBe('mine');
  });
});
