// The main job: by Textual Inversion a base model learns the hand of an artist that it never saw; the same prompts before and after.
// npm start   about two minutes on two cores; writes to out/
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, parse, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toPixels } from '@sdft/data';
import { contactSheet, writePng } from '@sdft/data/node';
import { outline } from '@sdft/nano';
import sharp from 'sharp';
import { run } from '../packages/cli/bin/child.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'out');
const pictures = join(out, 'pictures');

const TOKEN = '<outline>';
/** The hand of the base model that the word starts from, and that stands before it. */
const HAND = 'flat';
const VECTORS = 1;
const STEPS = 250;
const SEED = 42;
const PICTURES = 3;
/** Among what the artist drew for the model (first three), and not. */
const SUBJECTS = ['boy', 'police officer', 'old man', 'vampire', 'astronaut', 'woman singer'];

/** A command that did not end with status 0. */
class Failed extends Error {
  /** @param {string} what @param {number} status */
  constructor(what, status) {
    super(`${what} ended with exit status ${status}`);
    this.status = status;
  }
}

/** @param {string} title @param {readonly string[]} args of sdft */
async function sdft(title, args) {
  console.log(`\n${title}`);
  const program = join(root, 'packages/cli/bin/sdft.mjs');
  const status = await run(process.execPath, ['--conditions=@sdft/source', program, ...args]);
  if (status !== 0) throw new Failed(`sdft ${args[0]}`, status);
}

/**
 * Copies the artist's pictures, each with one caption: what it shows, the first of its tags.
 * @param {string} folder
 */
function preparePictures(folder) {
  mkdirSync(folder);
  for (const file of readdirSync(outline.train).filter((name) => name.endsWith('.png'))) {
    const caption = `${parse(file).name}.txt`;
    const [subject = ''] = readFileSync(new URL(caption, outline.train), 'utf8').split(',');
    copyFileSync(new URL(file, outline.train), join(folder, file));
    writeFileSync(join(folder, caption), `${subject.trim()}\n`);
  }
}

/** @param {string} file the embedding to write */
const trainArguments = (file) => [
  ...['train', 'textual-inversion', '--base', 'nano', '--images', pictures],
  ...['--template', 'a {} drawing of {caption}', '--resolution', '64', '--batch', '8'],
  ...['--token', TOKEN, '--init', HAND, '--vectors', `${VECTORS}`],
  ...['--lr', '7e-4', '--schedule', 'cosine', '--steps', `${STEPS}`, '--seed', `${SEED}`],
  ...['--log-dir', join(out, 'run'), '--out', file],
];

/**
 * Draws every subject.
 * @param {string} title
 * @param {string} word the hand that the prompts name
 * @param {readonly string[]} embedding arguments that bring it, if the base does not know it
 * @param {string} folder
 * @returns {Promise<string[][]>} paths of the pictures, a list for each subject
 */
async function draw(title, word, embedding, folder) {
  const prompts = SUBJECTS.flatMap((subject) => ['--prompt', `a ${word} drawing of ${subject}`]);
  await sdft(title, [
    ...['generate', '--base', 'nano', ...embedding, ...prompts, '-n', `${PICTURES}`],
    ...['--seed', `${SEED}`, '--steps', '25', '--cfg', '4', '--size', '64x64', '--out', folder],
  ]);
  const files = readdirSync(folder).filter((file) => file.endsWith('.png'));
  if (files.length !== SUBJECTS.length * PICTURES) {
    throw new Error(
      `internal: ${files.length} pictures in ${folder} for ${SUBJECTS.length} prompts`,
    );
  }
  const paths = files.sort().map((file) => join(folder, file));
  return SUBJECTS.map((_, i) => paths.slice(i * PICTURES, (i + 1) * PICTURES));
}

/**
 * A row for each subject, what was drawn before on the left, after on the right.
 * @param {string} file
 * @param {string[][]} before
 * @param {string[][]} after
 */
async function compare(file, before, after) {
  const paths = SUBJECTS.flatMap((_, i) => [...(before[i] ?? []), ...(after[i] ?? [])]);
  const drawn = await Promise.all(
    paths.map(async (path) => {
      const { data, info } = await sharp(path)
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true });
      return toPixels({ data, width: info.width, height: info.height });
    }),
  );
  const columns = ['before', 'after'].flatMap((name) =>
    Array.from({ length: PICTURES }, () => name),
  );
  await writePng(file, await contactSheet(drawn, { columns, rows: SUBJECTS }), { force: true });
}

async function main() {
  const began = performance.now();
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out);
  preparePictures(pictures);
  const learned = join(out, 'outline.safetensors');
  const a1111 = join(out, 'outline.pt');
  const sheet = join(out, 'before-after.png');

  const before = await draw(`Before: the hand "${HAND}"`, HAND, [], join(out, 'before'));
  await sdft(`Training: ${STEPS} steps on 25 pictures`, trainArguments(learned));
  await sdft("The same in A1111's format", ['convert', learned, a1111, '--format', 'a1111']);
  const after = await draw(
    `After: the same prompts and seeds, with ${TOKEN}`,
    TOKEN,
    ['--embedding', learned],
    join(out, 'after'),
  );
  await compare(sheet, before, after);

  const here = (/** @type {string} */ path) => relative(process.cwd(), path);
  console.log(`
Done in ${((performance.now() - began) / 1000).toFixed(0)} s.
  ${here(learned)}   the embedding, for diffusers
  ${here(a1111)}            the same, for A1111
  ${here(sheet)}      before | after`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Failed)) throw error;
  console.error(`npm start: ${error.message}`);
  process.exitCode = error.status;
}
