import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { goldens, sdft, temporaryFolder } from './sdft.ts';
import { floats, write } from './tensors.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
mkdirSync(at('loras/deep'), { recursive: true });
mkdirSync(at('nets'));
mkdirSync(at('words'));
copyFileSync(goldens('train/kohya_lora/result.safetensors'), at('loras/deep/cups.safetensors'));
copyFileSync(goldens('train/lora/result.safetensors'), at('loras/others.safetensors'));
copyFileSync(goldens('train/hn_linear/result.a1111-era.pt'), at('nets/net.pt'));

const flags = ['--base', goldens('tiny-sd'), '--steps', '2', '--seed', '1', '--size', '64'];
const dirs = ['--lora-dir', 'loras', '--hypernetwork-dir', 'nets', '--embedding-dir', 'words'];
const generate = (...more: readonly string[]) =>
  sdft(['generate', ...flags, ...more], { cwd: folder });
let count = 0;
/** The pictures of prompts, drawn in one go. */
async function pictures(prompts: readonly string[], ...more: readonly string[]): Promise<Buffer[]> {
  const out = `out-${count++}`;
  const ended = await generate(
    ...['--prompt-syntax', 'a1111', ...dirs, '--out', out, ...more],
    ...prompts.flatMap((prompt) => ['--prompt', prompt]),
  );
  expect(ended.code, ended.stderr).toBe(0);
  // Files also hold their prompts, which differ.
  return Promise.all(
    readdirSync(at(out))
      .sort()
      .map((name) =>
        sharp(at(join(out, name)))
          .raw()
          .toBuffer(),
      ),
  );
}

test('files that prompts name act with their strengths, from prompt to prompt', async () => {
  const lora = at('loras/deep/cups.safetensors');
  const net = at('nets/net.pt');
  const made = await pictures([
    'a cup',
    'a cup<lora:cups:0.8>',
    'a cup<lora:cups:0.3>',
    'a cup<lora:cups:1><hypernet:net:0.5><lora:others:-1>',
  ]);
  const [without, much, little, all] = made;
  expect(new Set(made.map((png) => png.toString('base64'))).size).toBe(4);
  expect((await pictures(['a cup']))[0]).toEqual(without);
  expect((await pictures(['a cup'], '--lora', `${lora}:0.8`))[0]).toEqual(much);
  expect((await pictures(['a cup'], '--lora', `${lora}:0.3`))[0]).toEqual(little);
  const given = await pictures(
    ['a cup'],
    ...['--lora', lora, '--hypernetwork', `${net}:0.5`],
    ...['--lora', `${at('loras/others.safetensors')}:-1`],
  );
  expect(given[0]).toEqual(all);
});

test('words are found by the names of their files, in prompts of either syntax', async () => {
  await write(at('words/my-thing.safetensors'), {
    '<inner>': floats(Array(24).fill(0.3), [2, 12]),
  });
  await write(at('words/unsaid.safetensors'), { broken: floats([1, 2, 3], [3, 1, 1]) });
  const ended = await generate(
    ...['--embedding-dir', 'words', '--prompt', 'a My-Thing', '--out', 'word'],
  );
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toContain('prompts call it my-thing');
  expect(ended.stderr).not.toContain('unsaid');
});

const refused: readonly (readonly [prompt: string, said: string, ...more: string[]])[] = [
  ['<lora:cup:1>', 'did you mean cups?', ...dirs],
  ['<lora:cups:1>', 'say where its file lies: --lora-dir FOLDER'],
  ['<lora:cups:0.5:0.7>', 'write <lora:cups:0.7>', ...dirs],
  ['<lora:cups:dyn=4>', 'dyn is not possible', ...dirs],
  ['<lora:cups:much>', 'is no number', ...dirs],
  ['<lora:cups:1><lora:cups:0.5>', 'twice', ...dirs],
  ['<lota:cups:1>', 'no kind of file is called lota', ...dirs],
  ['<lora:cups:1>', '--lora-dir nowhere: cannot be read', '--lora-dir', 'nowhere'],
  ['a', '--negative <lora:cups:1>', ...dirs, '--negative', '<lora:cups:1>'],
];
test.each(refused)('%s is refused: %s', async (prompt, said, ...more) => {
  const ended = await generate(
    ...['--prompt-syntax', 'a1111', '--prompt', prompt, '--out', 'no', ...more],
  );
  expect(ended.stderr).toContain(said);
  expect(ended.code).toBe(2);
});
