/** @file The same prompts drawn by the base and with every run, on one page. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { heldOut } from '@sdft/nano';
import type { Clock, Part } from './clock.ts';
import { PICTURES, promptsOf, SAMPLER_STEPS, WORD } from './drawing.ts';
import type { places } from './folders.ts';
import { run } from './program.ts';

const QUICK_SAMPLER_STEPS = 20;
/** Of nano's held-out pictures the quick one takes one in so many to see what was forgotten. */
const QUICK_HELD_OUT = 4;
/** Seconds on two quiet cores: of a sampler step of one picture, and of opening the runs and measuring what each forgot. */
const STEP_COST = 0.018;
const START_COST = 20;

/** What is compared, and what of it there is to do. */
export function comparison(
  runs: readonly { readonly title: string; readonly folder: string }[],
  { out, report }: ReturnType<typeof places>,
  quick: boolean,
): { part: Part; draw(clock: Clock, i: number, show: (text: string) => void): Promise<void> } {
  const asked = promptsOf(quick);
  const pictures = quick ? 1 : PICTURES;
  const steps = quick ? QUICK_SAMPLER_STEPS : SAMPLER_STEPS;
  const count = (runs.length + 1) * asked.length * pictures * steps;
  return {
    part: { title: 'pictures', count, cost: STEP_COST, start: START_COST },
    async draw(clock, i, show) {
      const file = join(out, 'prompts.txt');
      writeFileSync(file, `${asked.join('\n')}\n`);
      const some = quick ? join(out, 'held-out') : undefined;
      if (some !== undefined) copySome(fileURLToPath(heldOut), some, QUICK_HELD_OUT);
      let last = performance.now();
      show('');
      await run(
        [
          ...['compare', ...runs.map(({ title, folder }) => `${title}=${folder}`)],
          ...['--prompts', file, '--word', WORD, '-n', `${pictures}`, '--steps', `${steps}`],
          ...['--title', quick ? 'Five methods, in short' : 'Five methods, 25 pictures'],
          ...(some === undefined ? [] : ['--held-out', some]),
          ...['--out', report, ...(existsSync(report) ? ['--force'] : [])],
        ],
        {
          onProgress({ title, done, total }) {
            if (title !== 'drawing') return;
            const now = performance.now();
            // Those that were there already are not in its total.
            clock.advance(i, count - total + done, (now - last) / 1000);
            last = now;
            show(`, ${done} of ${total} sampler steps`);
          },
        },
      );
    },
  };
}

/** Of a folder's pictures one in `every`, with its caption, into another folder. */
function copySome(from: string, to: string, every: number): void {
  mkdirSync(to, { recursive: true });
  const pictures = readdirSync(from).filter((name) => name.endsWith('.png'));
  for (const name of pictures.sort().filter((_, i) => i % every === 0))
    for (const file of [name, name.replace(/png$/, 'txt')])
      copyFileSync(join(from, file), join(to, file));
}
