/** @file Opens what is compared and holds it against each other, before any work starts. */
import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { baseHash } from '@sdft/methods';
import { hashFile } from '@sdft/models/node';
import { type Base, latentSizeProblem, pictureSize } from '@sdft/pipeline';
import { type Backend, UserError } from '@sdft/tensor';
import { MOST_PICTURES } from './embed.ts';
import { type Drawer, openBaseAlone, openRun } from './openRun.ts';
import { type Content, Parts } from './parts.ts';
import { type FinishedRun, type GivenRun, readRun } from './readRun.ts';
import { checkShots, type Look, type WantedShot, wantedShots } from './shots.ts';

/** What the page calls the base's column. */
export const BASE = 'base';

export interface ComparisonOptions {
  readonly runs: readonly GivenRun[];
  /** `{}` stands for the word of each run. */
  readonly prompts: readonly string[];
  /** What `{}` is where a run was taught no word. */
  readonly word?: string | undefined;
  /** Pictures of each prompt. */
  readonly n: number;
  /** Of the first picture of each prompt; the next ones count on. */
  readonly seed: number;
  readonly steps: number;
  readonly cfg: number;
  /** Pixels; by default what the base was trained at. */
  readonly size?: { readonly width: number; readonly height: number } | undefined;
  /** The report's path; its parts are kept beside it. */
  readonly out: string;
  readonly backend: Backend;
}

/** The base, or a run, ready to draw. */
export interface OpenedColumn {
  readonly label: string;
  /** Undefined for the base. */
  readonly run: FinishedRun | undefined;
  readonly drawer: Drawer;
  /** What stands in the place of `{}`; undefined where no prompt has it. */
  readonly word: string | undefined;
  /** What draws it, by content. */
  readonly what: Content;
  /** For each prompt one a seed. */
  readonly shots: readonly (readonly WantedShot[])[];
}

export interface Comparison {
  /** As the page calls it. */
  readonly baseName: string;
  readonly base: Base;
  /** The base first, then the runs. */
  readonly columns: readonly OpenedColumn[];
  readonly look: Look;
  readonly parts: Parts;
  /** What a person should know before it starts. */
  readonly warnings: readonly string[];
  /** Labels of runs that started from another state of the base than it is in now. */
  readonly changed: readonly string[];
}

/** Opens everything, and checks it. Throws UserError where runs, prompts and settings do not go together. */
export async function openComparison(options: ComparisonOptions): Promise<Comparison> {
  const { prompts, word, n, backend } = options;
  refuseAlike([BASE, ...options.runs.map(({ label }) => label)]);
  const pictures = (options.runs.length + 1) * prompts.length * n;
  if (pictures > MOST_PICTURES)
    throw new UserError(
      `${prompts.length} prompts with ${n} pictures each for ${options.runs.length + 1} columns are ${pictures} pictures; a page has room for ${MOST_PICTURES}: take fewer prompts or a smaller -n`,
    );
  const runs = await Promise.all(options.runs.map(readRun));
  refuseOtherBases(runs);
  const alone = await openBaseAlone(runs);
  const { base } = alone;
  const hash = await baseHash(base);
  const look = lookOf(options, base);
  const parts = await Parts.open(Parts.beside(options.out));
  const columns: OpenedColumn[] = [];
  const warnings = new Set<string>();
  for (const run of [undefined, ...runs]) {
    const drawer = run ? await openRun(run, base) : alone;
    const label = run?.label ?? BASE;
    const what = await contentOf(drawer, base, hash);
    const own = ownWord(label, drawer, prompts, word);
    const filled = prompts.map((prompt) => prompt.replaceAll('{}', own ?? ''));
    const warning = await checkShots(label, drawer, filled, look, backend);
    if (warning !== undefined) warnings.add(warning);
    columns.push({
      label,
      run,
      drawer,
      word: own,
      what,
      shots: wantedShots(parts, drawer, filled, look, what),
    });
  }
  const changed = runs.filter(({ summary }) => summary?.base && summary.base.hash !== hash);
  const { recipe } = runs[0]!;
  return {
    baseName: recipe.base === 'nano' ? 'nano' : basename(recipe.base),
    ...{ base, columns, look, parts, warnings: [...warnings] },
    changed: changed.map(({ label }) => label),
  };
}

function refuseAlike(labels: readonly string[]): void {
  const twice = labels.find((label, i) => labels.indexOf(label) !== i);
  if (twice === BASE && labels.filter((label) => label === BASE).length === 2)
    throw new UserError(`a run is called ${BASE}, as the base is; call it otherwise: LABEL=FOLDER`);
  if (twice !== undefined)
    throw new UserError(`two runs are called ${twice}; call them otherwise: LABEL=FOLDER`);
}

/** Throws UserError where runs are on different bases: their hashes tell, or else their paths. */
function refuseOtherBases(runs: readonly FinishedRun[]): void {
  const [first, ...others] = runs;
  const pathOf = ({ recipe: { base } }: FinishedRun): string => {
    try {
      return realpathSync(base);
    } catch {
      return base;
    }
  };
  for (const other of others) {
    const [a, b] = [first!.summary?.base?.hash, other.summary?.base?.hash];
    const alike = a === undefined || b === undefined ? pathOf(first!) === pathOf(other) : a === b;
    if (!alike)
      throw new UserError(
        `${other.folder} started from ${other.recipe.base}, ${first!.folder} from ${first!.recipe.base}: only runs on one base can be compared; make a report of each`,
      );
  }
}

function lookOf({ n, seed, steps, cfg, size }: ComparisonOptions, base: Base): Look {
  const { width, height } = size ?? pictureSize(base, {});
  const misfit = latentSizeProblem(base, { width, height });
  if (misfit !== undefined) throw new UserError(`--size ${width}x${height}: ${misfit}`);
  if (steps > base.schedule.length)
    throw new UserError(
      `--steps ${steps}: the base has ${base.schedule.length} timesteps; 20 to 50 steps are usual`,
    );
  return { seeds: Array.from({ length: n }, (_, i) => seed + i), steps, cfg, width, height };
}

/**
 * What draws a column, by content: not by names, which may come to mean something else.
 *
 * @param original the base that runs started from, and its hash
 */
export async function contentOf(
  { base, learned }: Drawer,
  original: Base,
  hash: string,
): Promise<Content> {
  const files: string[] = [];
  for (const { file } of learned) files.push((await hashFile(file)).sha256);
  // The word that a file teaches may follow from the file's name.
  const words = learned.flatMap(({ adapter }) => (adapter.tokens ?? []).map(({ token }) => token));
  return { base: base === original ? hash : await baseHash(base), learned: files, words };
}

/** What `{}` stands for. Throws UserError where prompts need a word and there is none. */
function ownWord(
  label: string,
  { words }: Drawer,
  prompts: readonly string[],
  word: string | undefined,
): string | undefined {
  if (!prompts.some((prompt) => prompt.includes('{}'))) return undefined;
  if (words.length > 0) return words.join(' ');
  if (word !== undefined) return word;
  throw new UserError(
    `prompts have {}, and ${label === BASE ? 'the base' : label} was taught no word of its own; say what stands there with --word WORD`,
  );
}
