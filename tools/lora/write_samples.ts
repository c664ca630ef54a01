/**
 * Writes files of LoRA and its relatives as runs save them, and as `sdft convert` makes them, for check_files.py:
 *
 *     node --conditions=@sdft/source tools/lora/write_samples.ts FOLDER
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  adamw,
  convertNetwork,
  lora,
  type LoraOptions,
  pipeline,
} from '../../packages/methods/src/index.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: write_samples.ts FOLDER');
mkdirSync(folder, { recursive: true });
const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const at = (file: string): string => join(fixtures, 'lora', file);

interface Case {
  readonly tool: string;
  readonly options: Partial<LoraOptions>;
  readonly targets: string[];
  readonly dropped: boolean;
}
const cases = JSON.parse(readFileSync(at('cases.json'), 'utf8')) as Record<string, Case>;
for (const [name, { tool, options, targets, dropped }] of Object.entries(cases)) {
  const flavour = tool === 'peft' ? 'diffusers' : 'kohya';
  await using run = await pipeline()
    .model(join(fixtures, 'goldens/tiny-sd'))
    .method(lora({ ...options, flavour, targets }))
    .optimizer(adamw({ lr: 1e-3 }))
    .initFrom(at(`${name}.result.safetensors`))
    .build({ replay: at(dropped ? `${name}.replay.safetensors` : 'replay.safetensors') });
  await run.save(join(folder, `${name}.safetensors`), { force: true });
}
for (const [name, format] of [
  ['kohya', 'peft'],
  ['lycoris-dora', 'peft'],
  ['peft-lora', 'kohya'],
  ['peft-rs-lora', 'kohya'],
  ['peft-dora', 'kohya'],
  ['peft-loha', 'kohya'],
  ['peft-lokr', 'kohya'],
] as const)
  await convertNetwork(
    at(`${name}.result.safetensors`),
    join(folder, `${name}.${format}.safetensors`),
    {
      format,
      force: true,
    },
  );
