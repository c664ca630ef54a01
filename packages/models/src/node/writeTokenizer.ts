import { existsSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { internal } from '@sdft/tensor';
import type { ClipTextConfig } from '../config.ts';
import {
  endToken,
  parseMerges,
  startToken,
  vocabularyFromMerges,
} from '../tokenizer/vocabulary.ts';
import { clipMerges } from './tokenizerFiles.ts';

const files = [
  'vocab.json',
  'merges.txt',
  'special_tokens_map.json',
  'tokenizer_config.json',
  'tokenizer.json',
  'added_tokens.json',
];

/**
 * Writes the `tokenizer` folder of a diffusers model.
 *
 * @param from folder whose files are copied; undefined: CLIP's own tokenizer
 */
export async function writeTokenizer(
  folder: string,
  text: ClipTextConfig,
  from?: string,
): Promise<void> {
  await mkdir(folder);
  if (from !== undefined) {
    for (const name of files)
      if (existsSync(join(from, name))) await copyFile(join(from, name), join(folder, name));
    return;
  }
  const merges = await clipMerges();
  const { vocab } = vocabularyFromMerges(parseMerges(merges));
  const padToken = Object.keys(vocab).find((token) => vocab[token] === text.padTokenId);
  if (padToken === undefined)
    throw internal(`padding token ${text.padTokenId} is not in CLIP's vocabulary`);
  const special = (content: string): unknown => ({
    content,
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  });
  const tokens = {
    bos_token: special(startToken),
    eos_token: special(endToken),
    pad_token: padToken,
    unk_token: special(endToken),
  };
  await writeFile(join(folder, 'merges.txt'), merges);
  await writeFile(join(folder, 'vocab.json'), JSON.stringify(vocab));
  await writeFile(
    join(folder, 'special_tokens_map.json'),
    `${JSON.stringify(tokens, undefined, 2)}\n`,
  );
  const config = {
    add_prefix_space: false,
    ...tokens,
    bos_token: startToken,
    eos_token: endToken,
    unk_token: endToken,
    do_lower_case: true,
    errors: 'replace',
    model_max_length: text.maxPositionEmbeddings,
    tokenizer_class: 'CLIPTokenizer',
  };
  await writeFile(
    join(folder, 'tokenizer_config.json'),
    `${JSON.stringify(config, undefined, 2)}\n`,
  );
}
