/** @file What both sides read, written once into a working folder. */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { model, outline } from '@sdft/nano';
import { caption, classCount, classPrompt, type Paths, resolution } from './methods.ts';

const program = fileURLToPath(new URL('../../packages/cli/bin/sdft.mjs', import.meta.url));

const run = (...args: readonly string[]): unknown =>
  execFileSync(process.execPath, ['--conditions=@sdft/source', program, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });

/**
 * The base in float32 (as it is stored in float16, programs would differ in what they compute in), the pictures in the three layouts, and class pictures that the base drew.
 *
 * @returns the paths, and the folder with the kept-back pictures, each with a `.txt`
 */
export function prepare(
  work: string,
  theirs: { readonly diffusers: string; readonly webui: string },
): { readonly paths: Paths; readonly keptBack: string } {
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
  mkdirSync(work, { recursive: true });
  if (!existsSync(paths.base)) run('convert', fileURLToPath(model), paths.base, '--dtype', 'f32');
  if (!existsSync(paths.class))
    run(
      ...['generate', '--base', paths.base, '--prompt', classPrompt, '-n', `${classCount}`],
      ...['--seed', '0', '--steps', '25', '--cfg', '4', '--size', `${resolution}x${resolution}`],
      ...['--out', paths.class],
    );
  writeFileSync(paths.template, `${caption('[filewords]')}\n`);
  const keptBack = join(work, 'kept-back');
  const shown = picturesOf(fileURLToPath(outline.train));
  copyPictures(shown, paths.plain);
  copyPictures(shown, paths.captioned);
  copyPictures(shown, paths.named, { withNames: true });
  copyPictures(picturesOf(fileURLToPath(outline.validation)), keptBack, { withNames: true });
  const lines = shown.map(({ file, subject }) =>
    JSON.stringify({ file_name: parse(file).base, text: caption(subject) }),
  );
  writeFileSync(join(paths.captioned, 'metadata.jsonl'), `${lines.join('\n')}\n`);
  return { paths, keptBack };
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
