/** @file The same prompts drawn by the base and with every run, on one page. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Part } from './clock.ts';
import { type places, prompts } from './folders.ts';
import { run } from './program.ts';

/** What prompts call the hand that is learned, where a run teaches no word of its own. */
const WORD = 'outline';
const PICTURES = 2;
const SAMPLER_STEPS = 25;
/** Prompts of the quick one: the first so many. */
const QUICK_PROMPTS = 3;
const QUICK_SAMPLER_STEPS = 10;
/** Seconds on two quiet cores: of a sampler step of one picture, and of opening the runs and measuring what each forgot. */
const STEP_COST = 0.018;
const START_COST = 20;

/** What is compared, and what of it there is to do. */
export function comparison(
  runs: readonly { readonly title: string; readonly folder: string }[],
  { out, report }: ReturnType<typeof places>,
  quick: boolean,
): { part: Part; draw(clock: Clock, i: number, show: (text: string) => void): Promise<void> } {
  const lines = readFileSync(prompts, 'utf8').trimEnd().split('\n');
  const asked = quick ? lines.slice(0, QUICK_PROMPTS) : lines;
  const pictures = quick ? 1 : PICTURES;
  const steps = quick ? QUICK_SAMPLER_STEPS : SAMPLER_STEPS;
  const count = (runs.length + 1) * asked.length * pictures * steps;
  return {
    part: { title: 'pictures', count, cost: STEP_COST, start: START_COST },
    async draw(clock, i, show) {
      const file = join(out, 'prompts.txt');
      writeFileSync(file, `${asked.join('\n')}\n`);
      let last = performance.now();
      show('');
      await run(
        [
          ...['compare', ...runs.map(({ title, folder }) => `${title}=${folder}`)],
          ...['--prompts', file, '--word', WORD, '-n', `${pictures}`, '--steps', `${steps}`],
          ...['--title', quick ? 'Five methods, in short' : 'Five methods, 25 pictures'],
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
