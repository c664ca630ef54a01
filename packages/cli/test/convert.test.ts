import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { model as nano } from '@sdft/nano';
import { expect, test } from 'vitest';
import { goldens, jsonLines, sdft, temporaryFolder } from './sdft.ts';
import { numbers } from './tensors.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const convert = (...args: readonly string[]) => sdft(['convert', ...args], { cwd: folder });

/** Hashes of the tensors of a file or folder, by name. */
async function hashes(path: string): Promise<Record<string, string | undefined>> {
  const ended = await sdft(['inspect', path, '--hash', '--json'], { cwd: folder });
  expect(ended.code, ended.stderr).toBe(0);
  const [{ tensors } = { tensors: {} }] = jsonLines<{
    tensors: Record<string, [string, number[], string?]>;
  }>(ended);
  return Object.fromEntries(Object.entries(tensors).map(([name, [, , hash]]) => [name, hash]));
}

test('an embedding goes to A1111 and back', async () => {
  const original = goldens('train/ti/result.safetensors');
  expect(await convert(original, 'cup.pt', '--json')).toMatchObject({
    code: 0,
    stdout: `${JSON.stringify({ in: original, out: 'cup.pt', what: 'embedding', format: 'a1111' })}\n`,
  });
  const back = ['cup.pt', 'cup.safetensors', '--token', '<my-cup>'];
  expect(await convert(...back)).toMatchObject({ code: 0 });
  expect(numbers(at('cup.safetensors'), '<my-cup>')).toEqual(numbers(original, '<my-cup>'));
  expect(await convert(...back)).toMatchObject({ code: 2, stdout: '' });
});

test('a checkpoint goes into one file and back, every tensor as it was', async () => {
  const file = await convert(goldens('tiny-sd'), 'tiny.safetensors');
  expect(file.code, file.stderr).toBe(0);
  const ckpt = await convert('tiny.safetensors', 'again.ckpt');
  expect(ckpt.code, ckpt.stderr).toBe(0);
  const back = await convert('again.ckpt', 'tiny');
  expect(back.code, back.stderr).toBe(0);
  expect(await hashes('tiny')).toEqual(await hashes(goldens('tiny-sd')));
});

test('nano goes into a .ckpt of f16 and back, every number as it was', async () => {
  const model = fileURLToPath(nano);
  const ckpt = await convert(model, 'nano.ckpt', '--dtype', 'f16');
  expect(ckpt.code, ckpt.stderr).toBe(0);
  const back = await convert('nano.ckpt', 'nano');
  expect(back.code, back.stderr).toBe(0);
  const [before, after] = await Promise.all([hashes(model), hashes('nano')]);
  expect(Object.keys(before).length).toBeGreaterThan(300);
  expect(after).toEqual(before);
});

test('a LoRA goes to kohya and back, and says alpha and hashes on its way', async () => {
  const original = goldens('train/lora/result.safetensors');
  expect(await convert(original, 'kohya.safetensors', '--format', 'kohya', '--json')).toMatchObject(
    {
      code: 0,
      stdout: `${JSON.stringify({ in: original, out: 'kohya.safetensors', what: 'LoRA', format: 'kohya' })}\n`,
    },
  );
  const key = 'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k';
  expect([...numbers(at('kohya.safetensors'), `${key}.alpha`)]).toEqual([8]);
  for (const format of ['peft', 'diffusers'])
    expect(
      await convert('kohya.safetensors', `${format}.safetensors`, '--format', format),
    ).toMatchObject({ code: 0 });
  expect(await hashes('diffusers.safetensors')).toEqual(await hashes(original));
  const path = 'unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k';
  expect(numbers(at('peft.safetensors'), `${path}.lora_A.weight`)).toEqual(
    numbers(original, `${path}.lora.down.weight`),
  );
});

test.for([
  [[goldens('tiny-sd'), 'x.safetensors', '--format', 'a1111'], 'a checkpoint is ldm or diffusers'],
  [[goldens('tiny-sd'), 'x', '--format', 'ldm'], 'one .safetensors or .ckpt file'],
  [[goldens('train/ti/result.safetensors'), 'x.ckpt'], '.pt (a1111)'],
  [[goldens('train/lora/result.safetensors'), 'x.safetensors'], 'say which layout the LoRA gets'],
  [[goldens('train/lora/result.safetensors'), 'x.pt', '--format', 'kohya'], 'as .safetensors'],
  [[goldens('tiny-sd'), 'x', '--format', 'kohya'], '--format kohya is for LoRA'],
  [['nothing.pt', 'x.safetensors'], 'nothing.pt: no such file'],
] as const)('%j is refused', async ([args, said]) => {
  const { code, stdout, stderr } = await convert(...args);
  expect(stderr).toContain(said);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});
