/**
 * Writes embedding files of every layout that sdft writes, and pictures drawn with them, for check_written.py:
 *
 *     node --conditions=@sdft/source tools/embeddings/write_samples.ts FOLDER
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  adamw,
  openBase,
  pipeline,
  readEmbedding,
  textualInversion,
} from '../../packages/methods/src/index.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: write_samples.ts FOLDER');
mkdirSync(folder, { recursive: true });
const root = fileURLToPath(new URL('../../', import.meta.url));
const fixtures = join(root, 'fixtures');
const base = join(fixtures, 'goldens/tiny-sd');

interface Sample {
  readonly file: string;
  readonly token: string;
  readonly vectors: number;
  /** Where the vectors come from, and a record that the run is built on. */
  readonly from: string;
  readonly prompt: string;
}
const samples = JSON.parse(
  readFileSync(join(fixtures, 'embeddings/samples.json'), 'utf8'),
) as readonly Sample[];

const { tokenizer, textEncoder } = await openBase(base);
const written: object[] = [];
for (const { file, token, vectors, from, prompt } of samples) {
  const source = join(fixtures, from, 'result.safetensors');
  await using run = await pipeline()
    .model(base)
    .method(textualInversion({ token, vectors }))
    .optimizer(adamw({ lr: 1e-3 }))
    .initFrom(source)
    .build({ replay: join(fixtures, from, 'replay.safetensors') });
  const path = join(folder, file);
  await run.save(path, { force: true });
  const latents = join(folder, `${file}.latents.safetensors`);
  execFileSync(process.execPath, [
    ...['--conditions=@sdft/source', join(root, 'packages/cli/bin/sdft.mjs')],
    ...['generate', '--base', base, '--embedding', path, '--prompt', prompt],
    ...['--negative', 'blurry', '--sampler', 'ddim', '--steps', '10', '--cfg', '7.5'],
    ...['--latents', join(fixtures, 'embeddings/start.safetensors'), '--save-latents', latents],
    ...['--out', join(folder, 'pictures', file), '--force'],
  ]);
  const { values } = await readEmbedding(source);
  written.push({
    file,
    values: [...values],
    ids: tokenizer
      .withPlaceholder(token, vectors)
      .encodePadded(prompt, { padId: textEncoder.padTokenId }).ids,
  });
}
writeFileSync(join(folder, 'written.json'), JSON.stringify(written));

// Trained to the end, so that the file tells its steps.
execFileSync(process.execPath, [
  ...['--conditions=@sdft/source', join(root, 'packages/cli/bin/sdft.mjs')],
  ...['train', 'textual-inversion', '--base', base, '--flavour', 'a1111', '--token', 'ti_a1111'],
  ...['--replay', join(fixtures, 'goldens/train/ti_a1111/replay.safetensors'), '--steps', '5'],
  ...['--init-from', join(fixtures, 'goldens/train/ti_a1111/initial.pt'), '--vectors', '2'],
  ...['--lr', '0.005:3, 0.001', '--clip', '0.02', '--out', join(folder, 'trained.pt')],
  ...['--log-dir', join(folder, 'run'), '--force'],
]);
