import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '@sdft/tensor';
import { show } from '../checkpoint/show.ts';
import { rememberLast } from './rememberLast.ts';
import { parseJson, readJson, readText } from './settingsFiles.ts';

/**
 * The id that fills prompts up to 77, as the files of a diffusers folder's `tokenizer/` say: the end token for SD1, `!` for SD2.
 *
 * @returns undefined where they do not say
 * @throws UserError where a file is malformed, or the token is not in the vocabulary
 */
export function readPadTokenId(folder: string): number | undefined {
  for (const name of ['special_tokens_map.json', 'tokenizer_config.json']) {
    const path = join(folder, name);
    if (!existsSync(path)) continue;
    const token = (readJson(path) as { pad_token?: string | { content?: string } } | null)
      ?.pad_token;
    const text = typeof token === 'string' ? token : token?.content;
    if (text === undefined) continue;
    const id = readVocabulary(folder)?.[text];
    if (!Number.isSafeInteger(id))
      throw new UserError(`${path}: pad_token ${show(text)} is not in the vocabulary beside it`);
    return id;
  }
  return undefined;
}

type VocabularyFile = Readonly<Record<string, number>> | null | undefined;

function readVocabulary(folder: string): VocabularyFile {
  const vocab = join(folder, 'vocab.json');
  if (existsSync(vocab)) return parseVocabulary([readText(vocab)], vocab);
  const whole = join(folder, 'tokenizer.json');
  if (!existsSync(whole)) return undefined;
  return (readJson(whole) as { model?: { vocab?: VocabularyFile } } | null)?.model?.vocab;
}

const parseVocabulary = rememberLast(
  ([text]: readonly [string], where) => parseJson(text, where) as VocabularyFile,
);
