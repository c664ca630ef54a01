/** @file Files that prompts ask for by name, found in folders: `<lora:boy:0.8>` in `--lora-dir`, words in `--embedding-dir`. */
import { readdirSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { type Learned, type LearnedKind, learnedKinds } from '@sdft/methods';
import { type NetworkTag, promptNetworks } from '@sdft/models';
import type { Base } from '@sdft/pipeline';
import { nearest, UserError } from '@sdft/tensor';
import type { DrawingFlags } from '../options/drawing.ts';

/** A prompt without what asks for files, and how much of each opened file counts. */
export interface PromptWithStrengths {
  readonly text: string;
  readonly strengths: readonly number[];
}

/**
 * Opens what prompts mention. Tags are read with the syntax `a1111` alone.
 *
 * @param given what flags named; its strengths hold for every prompt
 * @returns `learned`: what was given, then what is mentioned
 * @throws UserError naming the tag, where it cannot be read or its file is not there
 */
export async function openMentioned(
  flags: DrawingFlags,
  base: Base,
  prompts: readonly string[],
  given: readonly Learned[],
): Promise<{
  readonly learned: readonly Learned[];
  readonly prompts: readonly PromptWithStrengths[];
}> {
  const read = prompts.map((prompt) =>
    flags.promptSyntax === 'a1111' ? readTags(prompt) : { text: prompt, wanted: [] },
  );
  if (flags.promptSyntax === 'a1111') refuseTags(flags.negative ?? '');
  const folders = new Map<string, ReadonlyMap<string, string>>();
  const filesOf = (kind: LearnedKind): ReadonlyMap<string, string> | undefined => {
    const dir = dirOf(flags, kind);
    if (dir === undefined) return undefined;
    const known = folders.get(kind.name) ?? namedFiles(dir, kind);
    folders.set(kind.name, known);
    return known;
  };
  const words = await openWords(flags, base, [...read.map(({ text }) => text)], filesOf);
  const always = [...given, ...words];
  const files = new Map<string, Learned>();
  for (const { wanted } of read)
    for (const { kind, name, tag } of wanted) {
      const path = pathOf(name, tag, kind, filesOf(kind));
      if (!files.has(path)) files.set(path, await opened(kind, path, base, tag));
    }
  const tagged = [...files.keys()];
  return {
    learned: [...always, ...files.values()],
    prompts: read.map(({ text, wanted }) => {
      const strengths = new Map(
        wanted.map(({ kind, name, tag, strength }) => [
          pathOf(name, tag, kind, filesOf(kind)),
          strength,
        ]),
      );
      return {
        text,
        strengths: [
          ...always.map(({ strength = 1 }) => strength),
          ...tagged.map((path) => strengths.get(path) ?? 0),
        ],
      };
    }),
  };
}

interface Wanted {
  readonly kind: LearnedKind;
  readonly name: string;
  readonly strength: number;
  readonly tag: string;
}

function readTags(prompt: string): { readonly text: string; readonly wanted: readonly Wanted[] } {
  const { text, networks } = promptNetworks(prompt);
  const wanted = networks.map(wantedBy);
  for (const [i, { kind, name, tag }] of wanted.entries())
    if (wanted.slice(0, i).some((other) => other.kind === kind && other.name === name))
      throw new UserError(`${tag}: ${name} is asked for twice in one prompt; say it once`);
  return { text, wanted };
}

function wantedBy({ tag, name: called, positional, named }: NetworkTag): Wanted {
  const kinds = Object.values(learnedKinds);
  const kind = kinds.find(({ tags = [] }) => tags.includes(called));
  if (!kind)
    throw new UserError(
      `${tag}: no kind of file is called ${called}; known are ${kinds
        .flatMap(({ tags = [] }) => tags.map((one) => `<${one}:NAME:STRENGTH>`))
        .join(', ')}`,
    );
  const [name, text = '1', unet] = positional;
  const unknown = Object.keys(named).find((key) => key !== 'te' && key !== 'unet');
  if (name === undefined || name.trim() === '') throw new UserError(`${tag}: it names no file`);
  if (unknown !== undefined || positional.length > 3)
    throw new UserError(
      `${tag}: only a strength can be said, <${called}:${name}:0.8>; ${unknown ?? 'a fourth part'} is not possible here`,
    );
  const te = named['te'] ?? text;
  const both = [te, named['unet'] ?? unet ?? te].map(Number);
  if (both.some((value) => !Number.isFinite(value)))
    throw new UserError(`${tag}: its strength is no number; write <${called}:${name}:0.8>`);
  if (both[0] !== both[1])
    throw new UserError(
      `${tag}: text encoder and U-Net get one strength here; write <${called}:${name}:${both[1]}>`,
    );
  return { kind, name, strength: both[0]!, tag };
}

function refuseTags(negative: string): void {
  const [tag] = tagsIn(negative);
  if (tag !== undefined)
    throw new UserError(`--negative ${tag}: files are asked for in the prompt itself`);
}

/** The tags of a prompt that ask for files of a known kind. */
export const tagsIn = (prompt: string): string[] =>
  promptNetworks(prompt).networks.flatMap(({ tag, name }) =>
    Object.values(learnedKinds).some(({ tags = [] }) => tags.includes(name)) ? [tag] : [],
  );

/** The name of the flag's value: `lora-dir` is `loraDir`. */
const dirOf = (flags: DrawingFlags, { name }: LearnedKind): string | undefined =>
  (flags as unknown as Record<string, string | undefined>)[
    `${name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())}Dir`
  ];

/** Files of a kind below a folder, by their names without ending; of two with one name, the first counts. Throws UserError where it cannot be read. */
function namedFiles(dir: string, { name: kind, endings }: LearnedKind): Map<string, string> {
  let entries;
  try {
    entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  } catch (error) {
    throw new UserError(`--${kind}-dir ${dir}: cannot be read: ${(error as Error).message}`);
  }
  const files = new Map<string, string>();
  const paths = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const path of paths) {
    const ending = extname(path);
    const name = basename(path, ending);
    if (endings.includes(ending.toLowerCase()) && !files.has(name)) files.set(name, path);
  }
  return files;
}

function pathOf(
  name: string,
  tag: string,
  { name: kind, endings }: LearnedKind,
  files: ReadonlyMap<string, string> | undefined,
): string {
  if (!files) throw new UserError(`${tag}: say where its file lies: --${kind}-dir FOLDER`);
  const path = files.get(name);
  if (path !== undefined) return path;
  const close = nearest(name, [...files.keys()]);
  throw new UserError(
    `${tag}: there is no ${name} (${endings.join(', ')}) in the folder of --${kind}-dir${close === undefined ? '' : `; did you mean ${close}?`}`,
  );
}

/** Opens files of the kinds whose names are words, where a prompt says the word. */
async function openWords(
  flags: DrawingFlags,
  base: Base,
  prompts: readonly string[],
  filesOf: (kind: LearnedKind) => ReadonlyMap<string, string> | undefined,
): Promise<Learned[]> {
  const said = [...prompts, flags.negative ?? ''].join('\n').toLowerCase();
  const words: Learned[] = [];
  for (const kind of Object.values(learnedKinds).filter(({ tags }) => tags === undefined))
    for (const [name, path] of filesOf(kind) ?? [])
      if (said.includes(name.toLowerCase()))
        words.push(await opened(kind, path, base, `--${kind.name}-dir`, name));
  return words;
}

async function opened(
  kind: LearnedKind,
  path: string,
  base: Base,
  where: string,
  name?: string,
): Promise<Learned> {
  try {
    return await kind.open(path, base, name === undefined ? {} : { name });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${where} ${error.message}`);
  }
}
