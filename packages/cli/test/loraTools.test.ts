import { join } from 'node:path';
import { expect, test } from 'vitest';
import { goldens, jsonLines, sdft, temporaryFolder } from './sdft.ts';

const folder = temporaryFolder();
const base = goldens('tiny-sd');
const lora = goldens('train/lora/result.safetensors');
const run = (...args: readonly string[]) => sdft([...args, '--json'], { cwd: folder });

test('a LoRA is merged, found again in the merged model, and made smaller', async () => {
  const merged = await run(
    'merge',
    '--base',
    base,
    '--lora',
    `${lora}:0.5`,
    '--out',
    'merged.ckpt',
  );
  expect(merged.code, merged.stderr).toBe(0);
  expect(jsonLines(merged)).toEqual([
    { out: 'merged.ckpt', base, lora: [{ file: lora, strength: 0.5 }], changed: 128 },
  ]);

  const found = await run(
    ...['extract', '--base', base, '--tuned', 'merged.ckpt', '--rank', '8'],
    ...['--clamp-quantile', '1', '--out', 'found.safetensors'],
  );
  expect(found.code, found.stderr).toBe(0);
  const [about] = jsonLines<{ kept: number; sameText: boolean; others: number }>(found);
  expect(about).toMatchObject({ sameText: true, others: 0 });
  expect(about!.kept).toBeGreaterThan(0.999);

  const smaller = await run(
    ...['resize', 'found.safetensors', 'smaller.safetensors', '--rank', '4'],
    ...['--rule', 'sv_fro', '--value', '0.9', '--dtype', 'f16'],
  );
  expect(smaller.code, smaller.stderr).toBe(0);
  const [resized] = jsonLines<{ ranks: number[]; before: number[] }>(smaller);
  expect(Math.max(...resized!.ranks)).toBeLessThanOrEqual(4);
  const seen = await run('inspect', 'smaller.safetensors');
  const [{ tensors } = { tensors: {} }] = jsonLines<{ tensors: Record<string, [string]> }>(seen);
  expect(new Set(Object.values(tensors).map(([dtype]) => dtype))).toEqual(new Set(['F16']));
});

test.each([
  [['merge', '--base', base, '--lora', lora, '--out', 'x.bin'], '.safetensors or .ckpt'],
  [['merge', '--base', base, '--out', 'x'], '--lora <file[:strength]> is missing'],
  [
    ['merge', '--base', base, '--lora', goldens('train/ti/result.safetensors'), '--out', 'x'],
    'is no file of the LoRA family',
  ],
  [
    ['extract', '--base', base, '--tuned', base, '--out', 'x.pt'],
    'a LoRA is written as .safetensors',
  ],
  [['extract', '--base', base, '--tuned', base, '--out', 'x.safetensors'], 'is the same as'],
  [
    ['resize', lora, 'x.safetensors', '--rank', '2', '--rule', 'sv_fro'],
    '--rule and --value belong together',
  ],
  [
    ['resize', lora, 'x.safetensors', '--rank', '2', '--rule', 'sv_fro', '--value', '3'],
    'a part, above 0 to 1',
  ],
  [['resize', lora, join('x.ckpt'), '--rank', '2'], 'a LoRA is written as .safetensors'],
] as const)('refused: %j', async (args, why) => {
  const ended = await run(...args);
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toContain(why);
});
