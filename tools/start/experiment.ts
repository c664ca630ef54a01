/** @file The experiment from beginning to end. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { recipeFromYaml } from '@sdft/methods';
import { Clock, type Part, span } from './clock.ts';
import { comparison } from './comparison.ts';
import {
  askedFile,
  baseHash,
  clear,
  found,
  places,
  savedStep,
  validationLosses,
} from './folders.ts';
import { Line } from './line.ts';
import { type MethodRun, methods } from './methods.ts';
import { type Action, actionFor, askedText } from './plan.ts';
import { run } from './program.ts';

/** A method with what is to be done about it. */
interface Planned extends MethodRun {
  readonly recipe: string;
  readonly folder: string;
  readonly result: string;
  readonly set: Readonly<Record<string, string>>;
  readonly asked: string;
  readonly steps: number;
  readonly action: Action;
}

/**
 * Trains what is not trained yet, draws and measures, and says where the report is.
 *
 * @throws CommandFailed where a command of sdft did
 */
export async function experiment({ quick }: { readonly quick: boolean }): Promise<void> {
  const began = performance.now();
  const line = new Line(process.stderr);
  const { out, report } = places(quick);
  const runs = planned(quick);
  mkdirSync(out, { recursive: true });
  if (quick)
    line.say(
      'The short one: few steps, few prompts. It shows how it goes; npm start shows what the methods can do.',
    );
  for (const { title, action, folder } of runs)
    if (action === 'skip') line.say(`${title}: done already (${here(folder)})`);
    else if (action === 'anew')
      line.say(`${title}: its recipe, or nano, is another one than last time; it starts anew`);

  const compared = comparison(runs, places(quick), quick);
  const parts: Part[] = [
    ...runs.map(({ title, steps, cost, start, action }) => ({
      // The quick one has half a batch.
      ...{ title, start, cost: quick ? cost / 2 : cost },
      count: action === 'skip' ? 0 : steps,
    })),
    compared.part,
  ];
  const clock = new Clock(parts);
  const show = (i: number, text: string) =>
    line.show(
      [
        `${Math.floor(100 * clock.share())} %, ${span(clock.left())} left`,
        `${i + 1}/${parts.length} ${parts[i]!.title}${text}, ${span(clock.leftOf(i))} left`,
      ].join('  |  '),
    );

  try {
    for (const [i, planned] of runs.entries())
      if (planned.action !== 'skip') {
        line.say(await train(planned, out, clock, i, (text) => show(i, text)));
        if (planned.name === 'textual-inversion') await forA1111(planned.result);
      }
    await compared.draw(clock, runs.length, (text) => show(runs.length, text));
  } finally {
    line.end();
  }
  console.log(`
Done in ${span((performance.now() - began) / 1000)}.
  ${here(report)}   the pictures, scores and losses side by side
  ${here(out)}   what was learned: files for diffusers and A1111, two whole models, and the runs`);
}

function planned(quick: boolean): Planned[] {
  const base = baseHash();
  const { recipe, run, result } = places(quick);
  return methods.map((method) => {
    const { name, extension } = method;
    const text = readFileSync(recipe(name), 'utf8');
    const set = quick ? method.quick : {};
    const asked = askedText(text, set, base);
    const file = result(name, extension);
    const settings = { ...(recipeFromYaml(text, recipe(name)) as object), ...set };
    return {
      ...method,
      ...{ set, asked, recipe: recipe(name), folder: run(name), result: file },
      steps: Number((settings as { steps?: unknown }).steps),
      action: actionFor(asked, found(run(name), file)),
    };
  });
}

/**
 * Trains one method.
 *
 * @returns what there is to say of it
 */
async function train(
  { title, recipe, folder, result, drawn, set, asked, steps, action }: Planned,
  out: string,
  clock: Clock,
  i: number,
  show: (text: string) => void,
): Promise<string> {
  const pictures = drawn && join(out, drawn.folder);
  if (action === 'anew') clear(folder, result, ...(pictures ? [pictures] : []));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, askedFile), asked);
  const before = savedStep(folder);
  clock.before(i, before);
  show(before === 0 ? '' : `, going on after step ${before}`);
  const changes = Object.entries({
    ...set,
    // A value is YAML, in which a path may need quotes.
    'save.out': JSON.stringify(result),
    ...(drawn && { [drawn.key]: JSON.stringify(pictures) }),
  });
  let last = performance.now();
  const passed = (): number => {
    const since = last;
    last = performance.now();
    return (last - since) / 1000;
  };
  await run(
    [
      ...['train', recipe, '--resume', folder, '--force'],
      ...changes.flatMap(([key, value]) => ['--set', `${key}=${value}`]),
    ],
    {
      onRecord({ step, loss }) {
        if (typeof step !== 'number' || typeof loss !== 'number') return;
        clock.advance(i, step, passed());
        show(`, step ${step} of ${steps}`);
      },
      onProgress({ title: what, done, total }) {
        if (what !== 'training') show(`, ${what} ${Math.floor((100 * done) / total)} %`);
      },
    },
  );
  clock.advance(i, steps, passed());
  const losses = validationLosses(folder);
  const [first, final] = [losses.at(0), losses.at(-1)];
  return `${title}: ${steps} steps${losses.length > 1 ? `; validation loss ${first!.toFixed(4)}, then ${final!.toFixed(4)}` : ''}`;
}

/** The embedding in A1111's format, beside the other. */
async function forA1111(file: string): Promise<void> {
  const pt = file.replace(/\.safetensors$/, '.pt');
  await run(['convert', file, pt, '--format', 'a1111', '--force']);
}

const here = (path: string): string => relative(process.cwd(), path) || '.';
