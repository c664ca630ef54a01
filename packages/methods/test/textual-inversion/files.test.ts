import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PythonValue, weightOf } from '@sdft/models';
import { openSafetensors, openTorch, writeSafetensors, writeTorch } from '@sdft/models/node';
import { hostArray, type HostArray, valueOf } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { readEmbedding } from '../../src/index.ts';
import { embeddingFiles } from '../../src/textual-inversion/embeddingFiles.ts';
import { goldens, temporaryFolder, tensor } from '../support/fixtures.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const key = 'text_encoder.text_model.embeddings.token_embedding';
const values = Float32Array.from({ length: 24 }, (_, i) => Math.fround(Math.sin(i) / 3));
const state = new Map([[key, { vectors: hostArray(values, [2, 12]) as HostArray }]]);
const shapes = (vectors: number, width = 12) => new Map([[key, { vectors: [vectors, width] }]]);
const files = embeddingFiles('<cup>');
const about = { step: 5, base: 'models/tiny-sd', force: false };
const weight = (data: Float32Array = values, shape: readonly number[] = [2, 12]) =>
  weightOf('f32', shape, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));

describe('an embedding', () => {
  it.each(['safetensors', 'bin', 'pt'])('written as .%s reads back the same', async (extension) => {
    const path = at(`cup.${extension}`);
    await files.save(state, path, about);
    const [parameters] = (await files.load(path, shapes(2))).values();
    expect(valueOf(parameters!['vectors']!).data).toEqual(values);
    expect(await readEmbedding(path)).toMatchObject({
      vectors: 2,
      width: 12,
      name: extension === 'pt' ? 'cup' : '<cup>',
      layout: extension === 'pt' ? 'a1111' : 'diffusers',
    });
    await expect(files.save(state, path, about)).rejects.toThrow(/exists already/);
    await files.save(state, path, { ...about, force: true });
  });

  it("has diffusers' layout in .safetensors", async () => {
    const { tensors, metadata } = openSafetensors(at('cup.safetensors'));
    expect(metadata).toEqual({ format: 'pt' });
    expect([...tensors].map(([name, { dtype, shape }]) => [name, dtype, [...shape]])).toEqual([
      ['<cup>', 'f32', [2, 12]],
    ]);
  });

  it("has A1111's layout in .pt, key by key as A1111 itself writes it", async () => {
    const described = async (path: string): Promise<unknown[]> => {
      const { value } = await openTorch(path);
      const describe = (inner: PythonValue): unknown =>
        inner instanceof Map
          ? [...inner].map(([name, item]) => [name, describe(item)])
          : typeof inner === 'object' && inner !== null && 'dtype' in inner
            ? [inner.dtype, [...inner.shape]]
            : typeof inner;
      return describe(value) as unknown[];
    };
    const theirs = (await described(goldens('train/ti_a1111/result.pt'))) as [string, unknown][];
    const ours = (await described(at('cup.pt'))) as [string, unknown][];
    expect(ours.map(([name]) => name)).toEqual(theirs.map(([name]) => name));
    // The short hash of the base is not known here; A1111 writes None then, too.
    expect(ours.filter(([name]) => name !== 'sd_checkpoint')).toEqual(
      theirs.filter(([name]) => name !== 'sd_checkpoint'),
    );
    const { value } = await openTorch(at('cup.pt'));
    expect((value as Map<string, unknown>).get('step')).toBe(5);
    expect((value as Map<string, unknown>).get('sd_checkpoint_name')).toBe('tiny-sd');
  });

  it('of another kind of file is refused', async () => {
    await expect(files.save(state, at('cup.ckpt'), about)).rejects.toThrow(
      /cup.ckpt: an embedding is written as .safetensors or .bin \(for diffusers\) or .pt \(for A1111\)/,
    );
    await expect(files.load(at('cup.pt'), shapes(3))).rejects.toThrow(
      /holds 2 vectors, 3 are asked for; say vectors: 2/,
    );
    await expect(files.load(at('cup.pt'), shapes(2, 768))).rejects.toThrow(
      /its vectors are 12 wide, those of this base 768/,
    );
    await expect(files.load(at('none.pt'), shapes(2))).rejects.toThrow(/none.pt: no such file/);
  });
});

describe('embeddings of other tools', () => {
  const expected = tensor(goldens('train/ti_a1111/result.safetensors'), 'vec');

  it.each([
    ['result.pt', 'ti_a1111', 'a1111'],
    ['result.a1111-era.pt', 'ti_a1111', 'a1111'],
    ['embedding.png', 'ti_a1111', 'a1111-picture'],
    ['embedding_pixels_only.png', 'ti_a1111', 'a1111-picture'],
    ['result.safetensors', 'vec', 'diffusers'],
  ])("are read: A1111's %s", async (file, name, layout) => {
    const found = await readEmbedding(goldens(`train/ti_a1111/${file}`));
    expect(found.values).toEqual(expected);
    expect(found).toMatchObject({ vectors: 2, width: 12, name, layout });
  });

  it('are read: kohya, OneTrainer, clip_l beside clip_g, a single vector, a bare tensor, half precision', async () => {
    const half = weightOf('f16', [2, 12], new Uint8Array(new Float16Array(values).buffer));
    const wide = weight(new Float32Array(40), [2, 20]);
    const written: [string, Map<string, ReturnType<typeof weight>>, string][] = [
      ['kohya', new Map([['emb_params', weight()]]), 'kohya'],
      [
        'onetrainer',
        new Map([
          ['emp_params', weight()],
          ['emp_params_out', weight()],
        ]),
        'onetrainer',
      ],
      [
        'sdxl',
        new Map([
          ['clip_g', wide],
          ['clip_l', weight()],
        ]),
        'clip_l',
      ],
      ['half', new Map([['<cup>', half]]), 'diffusers'],
    ];
    for (const [name, tensors, layout] of written) {
      const path = at(`${name}.safetensors`);
      await writeSafetensors(path, tensors);
      const found = await readEmbedding(path);
      expect(found).toMatchObject({ vectors: 2, width: 12, layout });
      const most = layout === 'diffusers' ? 2e-4 : 0;
      found.values.forEach((value, i) =>
        expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(most),
      );
    }
    await writeSafetensors(
      at('one.safetensors'),
      new Map([['<one>', weight(values.slice(0, 12), [12])]]),
    );
    expect(await readEmbedding(at('one.safetensors'))).toMatchObject({
      vectors: 1,
      width: 12,
      name: '<one>',
    });
    await writeTorch(at('bare.pt'), weight());
    expect(await readEmbedding(at('bare.pt'))).toMatchObject({ vectors: 2, name: undefined });
  });

  it('that are none are refused, naming what is wrong', async () => {
    await writeSafetensors(
      at('two.safetensors'),
      new Map([
        ['a', weight()],
        ['b', weight()],
      ]),
    );
    await expect(readEmbedding(at('two.safetensors'))).rejects.toThrow(
      /holds 2 tensors \(a, b, ...\), so it is no embedding/,
    );
    await writeSafetensors(at('cube.safetensors'), new Map([['a', weight(values, [2, 3, 4])]]));
    await expect(readEmbedding(at('cube.safetensors'))).rejects.toThrow(
      /a has shape \[2, 3, 4\]; an embedding is \[vectors, width\]/,
    );
    await writeTorch(at('empty.pt'), new Map([['name', 'x']]));
    await expect(readEmbedding(at('empty.pt'))).rejects.toThrow(/holds no tensor, so no embedding/);
    const broken = Float32Array.from(values);
    broken[7] = Number.NaN;
    await writeSafetensors(at('nan.safetensors'), new Map([['a', weight(broken)]]));
    await expect(readEmbedding(at('nan.safetensors'))).rejects.toThrow(/a holds NaN at place 7/);
    await expect(readEmbedding(goldens('train/images/00_coffee.png'))).rejects.toThrow(
      /holds no embedding, neither as a text nor in its pixels/,
    );
    await expect(readEmbedding(goldens('files/malicious-sample.ckpt'))).rejects.toThrow(
      expect.objectContaining({ name: 'UserError' }),
    );
  });

  it('in damaged pictures are refused', async () => {
    for (const file of ['embedding.png', 'embedding_pixels_only.png']) {
      const bytes = readFileSync(goldens(`train/ti_a1111/${file}`));
      writeFileSync(at(`short-${file}`), bytes.subarray(0, bytes.length - 200));
      await expect(readEmbedding(at(`short-${file}`))).rejects.toThrow(/not a whole PNG/);
      // Each of these may hit something that matters or not; none may throw anything but a UserError.
      for (let place = 8; place < bytes.length; place += Math.ceil(bytes.length / 60)) {
        const hit = Uint8Array.from(bytes);
        hit[place]! ^= 0x55;
        writeFileSync(at('hit.png'), hit);
        await readEmbedding(at('hit.png')).then(
          ({ values: found }) => expect(found.every(Number.isFinite)).toBe(true),
          (error: unknown) => expect(error).toMatchObject({ name: 'UserError' }),
        );
      }
    }
  });
});
