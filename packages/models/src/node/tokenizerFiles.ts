import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { UserError } from '@sdft/tensor';
import { rememberLast } from './rememberLast.ts';
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer.ts';
import {
  endToken,
  parseMerges,
  startToken,
  type Vocabulary,
  vocabularyFromMerges,
} from '../tokenizer/vocabulary.ts';

/** CLIP's own tokenizer (49,408 ids), which every SD1 and SD2 checkpoint uses; its merges ship with this package. */
export async function clipTokenizer(): Promise<Tokenizer> {
  return ofMerges([await clipMerges()], 'merges.txt');
}

const ofMerges = rememberLast(([merges]: readonly [string], where) =>
  createTokenizer(vocabularyFromMerges(parseMerges(merges, where))),
);

/** The text of CLIP's `merges.txt`. */
export async function clipMerges(): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve('@sdft/models/package.json');
  const file = new URL('assets/clip-tokenizer/merges.txt', pathToFileURL(manifest));
  return await readFile(file, 'utf8');
}

/**
 * The tokenizer in a diffusers folder: `vocab.json` and `merges.txt`, or else `tokenizer.json`; `added_tokens.json` where it exists.
 * @param folder the `tokenizer` folder itself
 * @throws UserError where files are missing or damaged
 */
export async function readTokenizer(folder: string): Promise<Tokenizer> {
  const texts = await Promise.all(fileNames.map((name) => readIfThere(join(folder, name))));
  return ofFolder(texts, folder);
}

const fileNames = ['vocab.json', 'merges.txt', 'tokenizer.json', 'added_tokens.json'] as const;
/** Their texts, where they are there. */
type FolderTexts = readonly (string | undefined)[];

const ofFolder = rememberLast((texts: FolderTexts, folder) =>
  createTokenizer(vocabularyOf(texts, folder)),
);

function vocabularyOf(texts: FolderTexts, folder: string): Vocabulary {
  const [vocab, merges, whole, added] = texts.map((text, i): TextFile | undefined =>
    text === undefined ? undefined : { path: join(folder, fileNames[i]!), text },
  );
  const addedTokens = {
    ...(added && idsByToken(parseJson(added.text, added.path), added.path)),
    ...(whole && tokensOfTokenizerJson(whole)),
  };
  if (vocab && merges) {
    return {
      vocab: idsByToken(parseJson(vocab.text, vocab.path), vocab.path),
      merges: parseMerges(merges.text, merges.path),
      addedTokens,
    };
  }
  if (whole) return { ...modelOfTokenizerJson(whole), addedTokens };
  throw new UserError(
    `${folder}: no tokenizer here. Expected vocab.json and merges.txt (or tokenizer.json), as in the tokenizer folder of a diffusers model.`,
  );
}

interface TextFile {
  readonly path: string;
  readonly text: string;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (
      error instanceof Error &&
      'code' in error &&
      (error.code === 'ENOENT' || error.code === 'ENOTDIR')
    ) {
      return undefined;
    }
    throw new UserError(
      `${path}: cannot be read (${error instanceof Error ? error.message : String(error)}).`,
    );
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(
      `${path}: is not JSON (${error instanceof Error ? error.message : String(error)}). The file is damaged.`,
    );
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function idsByToken(value: unknown, path: string): Record<string, number> {
  if (!isRecord(value)) throw new UserError(`${path}: expected an object from token to id.`);
  for (const token in value) {
    if (typeof value[token] !== 'number') {
      throw new UserError(`${path}: the id of ${JSON.stringify(token)} is not a number.`);
    }
  }
  return value as Record<string, number>;
}

/** Vocabulary and merges of the tokenizers library's own format; a merge is `"left right"` or `["left", "right"]`. */
function modelOfTokenizerJson({ path, text }: TextFile): Vocabulary {
  const file = parseJson(text, path);
  const model = isRecord(file) ? file.model : undefined;
  if (!isRecord(model) || !Array.isArray(model.merges)) {
    throw new UserError(`${path}: holds no byte-pair model (model.vocab and model.merges).`);
  }
  const lines = model.merges.map((merge) =>
    Array.isArray(merge) ? merge.join(' ') : String(merge),
  );
  return {
    vocab: idsByToken(model.vocab, `${path}, model.vocab`),
    merges: parseMerges(lines.join('\n'), `${path}, model.merges`),
  };
}

/** Tokens added after training; the special ones stand in the vocabulary too. */
function tokensOfTokenizerJson({ path, text }: TextFile): Record<string, number> {
  const file = parseJson(text, path);
  const list = isRecord(file) && Array.isArray(file.added_tokens) ? file.added_tokens : [];
  const tokens = Object.fromEntries(
    list
      .filter(isRecord)
      .filter(
        ({ content }) =>
          typeof content === 'string' && content !== startToken && content !== endToken,
      )
      .map(({ content, id }) => [content, id]),
  );
  return idsByToken(tokens, `${path}, added_tokens`);
}
