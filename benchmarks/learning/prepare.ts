/** @file What both sides read, written once into a working folder, and anew where it comes from another base. */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { model, outline } from '@sdft/nano';
import { baseHash, filesHash } from '../../tools/start/folders.ts';
import { caption, classCount, classPrompt, type Paths, resolution } from './methods.ts';

const program = fileURLToPath(new URL('../../packages/cli/bin/sdft.mjs', import.meta.url));

const run = (...args: readonly string[]): unknown =>
  execFileSync(process.execPath, ['--conditions=@sdft/source', program, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });

export interface Prepared {
  readonly paths: Paths;
  /** Kept-back pictures, each with a `.txt`. */
  readonly keptBack: string;
  /** Hash of all that is read, and of what it was made of. */
  readonly inputs: string;
  /** Hash of the base that it comes from. */
  readonly base: string;
}

const classDrawing = [
  ...['--prompt', classPrompt, '-n', `${classCount}`, '--seed', '0'],
  ...['--steps', '25', '--cfg', '4', '--size', `${resolution}x${resolution}`],
];

/**
 * The base in float32 (as it is stored in float16, programs would differ in what they compute in), the pictures in the three layouts, and class pictures that the base drew. What lies there of another
 * base, of other pictures, or broken off, is made anew.
 *
 * @param note hears of that
 */
export function prepare(
  work: string,
  theirs: { readonly diffusers: string; readonly webui: string },
  note: (text: string) => void,
): Prepared {
  const paths = {
    ...theirs,
    base: join(work, 'base'),
    plain: join(work, 'plain'),
    captioned: join(work, 'captioned'),
    named: join(work, 'named'),
    template: join(work, 'template.txt'),
    class: join(work, 'class'),
    tools: fileURLToPath(new URL('../../tools/learning', import.meta.url)),
  };
  const keptBack = join(work, 'kept-back');
  const made = [
    ...[paths.base, paths.plain, paths.captioned, paths.named, paths.class],
    ...[paths.template, keptBack],
  ];
  const base = baseHash();
  const mark = join(work, 'prepared.json');
  const of = `${JSON.stringify({
    ...{ base, class: classDrawing, caption: caption('[filewords]') },
    pictures: [outline.train, outline.validation].map((url) => filesHash(fileURLToPath(url))),
  })}\n`;
  if (!existsSync(mark) || readFileSync(mark, 'utf8') !== of) {
    if (made.some(existsSync))
      note(`${work}: not prepared to its end, or of another base than ${base}; prepared anew`);
    for (const path of [mark, ...made]) rmSync(path, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    make(paths, keptBack);
    writeFileSync(mark, of);
  }
  return { paths, keptBack, base, inputs: filesHash(mark, ...made) };
}

function make(paths: Paths, keptBack: string): void {
  run('convert', fileURLToPath(model), paths.base, '--dtype', 'f32');
  run('generate', '--base', paths.base, ...classDrawing, '--out', paths.class);
  writeFileSync(paths.template, `${caption('[filewords]')}\n`);
  const shown = picturesOf(fileURLToPath(outline.train));
  copyPictures(shown, paths.plain);
  copyPictures(shown, paths.captioned);
  copyPictures(shown, paths.named, { withNames: true });
  copyPictures(picturesOf(fileURLToPath(outline.validation)), keptBack, { withNames: true });
  const lines = shown.map(({ file, subject }) =>
    JSON.stringify({ file_name: parse(file).base, text: caption(subject) }),
  );
  writeFileSync(join(paths.captioned, 'metadata.jsonl'), `${lines.join('\n')}\n`);
}

interface Shown {
  readonly file: string;
  /** What is drawn: the first of its tags. */
  readonly subject: string;
}

const picturesOf = (folder: string): Shown[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.png'))
    .sort()
    .map((name) => {
      const [subject = ''] = readFileSync(join(folder, `${parse(name).name}.txt`), 'utf8').split(
        ',',
      );
      return { file: join(folder, name), subject: subject.trim() };
    });

function copyPictures(
  pictures: readonly Shown[],
  folder: string,
  { withNames = false }: { readonly withNames?: boolean } = {},
): void {
  mkdirSync(folder, { recursive: true });
  for (const { file, subject } of pictures) {
    const { base, name } = parse(file);
    copyFileSync(file, join(folder, base));
    if (withNames) writeFileSync(join(folder, `${name}.txt`), subject);
  }
}
