/** @file npm start, without its long runs. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseRecipe, type Recipe, recipeFromYaml } from '@sdft/methods';
import { afterAll, describe, expect, test } from 'vitest';
import { readArguments } from '../start/arguments.ts';
import { Clock, span } from '../start/clock.ts';
import { promptsOf } from '../start/drawing.ts';
import { found, places, savedStep, validationLosses } from '../start/folders.ts';
import { methods } from '../start/methods.ts';
import { actionFor, askedText } from '../start/plan.ts';
import { progressIn } from '../start/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sdft-start-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('arguments', () => {
  test('nothing, and each flag', () => {
    expect(readArguments([])).toEqual({ quick: false, open: false, help: false });
    expect(readArguments(['--quick', '--open'])).toEqual({ quick: true, open: true, help: false });
    expect(readArguments(['-h']).help).toBe(true);
  });

  test.each([[['--qiuck']], [['lora']], [['--quick=yes']]])('%j is refused', (args) => {
    expect(() => readArguments(args)).toThrow(/there are --quick, --open and --help.*not /);
  });

  test('an unknown flag ends npm start before any work, with exit status 2', () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        '--conditions=@sdft/source',
        fileURLToPath(new URL('../start.mjs', import.meta.url)),
        '--qiuck',
      ],
      { encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([2, expect.stringContaining('--qiuck')]);
  });
});

describe('what is to be done about a run', () => {
  const asked = askedText('steps: 100\n', {}, 'abc');

  test('nothing is there: it starts', () => {
    expect(actionFor(asked, { begun: false, finished: false })).toBe('start');
  });

  test('asked for the same: it goes on, or is done', () => {
    expect(actionFor(asked, { asked, begun: true, finished: false })).toBe('go on');
    expect(actionFor(asked, { asked, begun: true, finished: true })).toBe('skip');
  });

  test.each([
    ['another recipe', askedText('steps: 200\n', {}, 'abc')],
    ['another setting', askedText('steps: 100\n', { batch: '4' }, 'abc')],
    ['another base', askedText('steps: 100\n', {}, 'abd')],
    ['nothing that is known', undefined],
  ])('asked for %s: it starts anew', (_, before) => {
    expect(actionFor(asked, { asked: before, begun: true, finished: true })).toBe('anew');
  });

  test('is seen from its folder', () => {
    const run = join(folder, 'run');
    const result = join(folder, 'result.pt');
    expect(found(run, result)).toEqual({ begun: false, finished: false });
    expect(savedStep(run)).toBe(0);
    mkdirSync(join(run, 'state', '20'), { recursive: true });
    mkdirSync(join(run, 'state', '100'));
    mkdirSync(join(run, 'state', '.100.tmp'));
    writeFileSync(join(run, 'asked.yaml'), asked);
    expect(found(run, result)).toEqual({ asked, begun: true, finished: false });
    expect(savedStep(run)).toBe(100);
    writeFileSync(join(run, 'summary.json'), '{}');
    expect(found(run, result).finished).toBe(false);
    writeFileSync(result, '');
    expect(found(run, result).finished).toBe(true);
  });

  test('its validation losses are those of its metrics', () => {
    const lines = [
      { step: 0, validationLoss: 0.2 },
      { step: 1, loss: 0.3 },
    ];
    const more = { step: 2, validationLoss: 0.1 };
    const text = [...lines, more].map((line) => `${JSON.stringify(line)}\n`).join('');
    writeFileSync(join(folder, 'metrics.jsonl'), text);
    expect(validationLosses(folder)).toEqual([0.2, 0.1]);
  });
});

describe('time left', () => {
  const parts = [
    { title: 'a', count: 100, cost: 0.5, start: 10 },
    { title: 'b', count: 0, cost: 1, start: 10 },
    { title: 'c', count: 20, cost: 2, start: 0 },
  ];

  test('is that of two quiet cores before anything was done; what is skipped takes none', () => {
    const clock = new Clock(parts);
    expect(clock.left()).toBe(100);
    expect(clock.leftOf(1)).toBe(0);
    expect(clock.share()).toBe(0);
  });

  test('follows the machine, for what is left of it', () => {
    const clock = new Clock(parts);
    clock.advance(0, 80, 150);
    // 50 s of cost took 150 s, and 5 s are taken on trust.
    expect(clock.leftOf(0)).toBeCloseTo((10 * 155) / 55);
    expect(clock.left()).toBeCloseTo((50 * 155) / 55);
    expect(clock.share()).toBeCloseTo(0.5);
    clock.advance(0, 100, 30);
    clock.advance(2, 20, 120);
    expect([clock.left(), clock.share()]).toEqual([0, 1]);
  });

  test('steps that were done before say nothing of the pace', () => {
    const clock = new Clock(parts);
    clock.before(0, 80);
    expect(clock.left()).toBe(60);
    clock.advance(0, 90, 15);
    expect(clock.left()).toBe(45);
  });

  test.each([
    [0, '5 s'],
    [41, '40 s'],
    [58, '1 min'],
    [300, '5 min'],
  ])('%d seconds are said as %s', (seconds, said) => expect(span(seconds)).toBe(said));
});

test('progress lines of sdft are told from its remarks', () => {
  expect(progressIn('class images   5/100  picture 1 of 4  0.5 s/step')).toEqual({
    ...{ title: 'class images', done: 5, total: 100 },
  });
  expect(progressIn('drawing  9/9')).toEqual({ title: 'drawing', done: 9, total: 9 });
  expect(progressIn('interrupted after step 5 of 100; saved 3/4')).toBeUndefined();
});

describe('the recipes', () => {
  const { recipe } = places(false);

  test.each(methods.map(({ name }) => name))('%s: sound, on the pictures of nano', (name) => {
    const file = recipe(name);
    const read = parseRecipe(recipeFromYaml(readFileSync(file, 'utf8'), file), file) as Recipe;
    expect(read).toMatchObject({ base: 'nano', method: name, seed: expect.any(Number) });
    const near = (path: string) => resolve(dirname(file), path);
    expect(existsSync(near(read.data!.images))).toBe(true);
    expect(existsSync(near(read.validation!.images))).toBe(true);
    expect(near(read.save!.out!)).toBe(
      places(false).result(name, methods.find((method) => method.name === name)!.extension),
    );
  });

  test('ten prompts, each with the place of the word', () => {
    const lines = promptsOf(false);
    expect(lines).toHaveLength(10);
    for (const line of lines) expect(line).toMatch(/^a \{\} drawing of \S/);
  });

  test('the quick one draws four of them, and nobody on a horse', () => {
    const lines = promptsOf(true);
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(promptsOf(false)).toContain(line);
      expect(line).not.toContain('horse');
    }
  });

  test.each(methods)('$name: what the quick one changes is sound', ({ name, quick }) => {
    const file = recipe(name);
    const read = recipeFromYaml(readFileSync(file, 'utf8'), file) as Recipe;
    const { 'validation.every': every, 'optimizer.lr': lr, ...own } = quick;
    const numbers = Object.fromEntries(Object.entries(own).map(([key, value]) => [key, +value]));
    const changed = {
      ...{ ...read, ...numbers, validation: { ...read.validation, every: +every! } },
      ...(lr !== undefined && { optimizer: { ...read.optimizer, lr: +lr } }),
    };
    expect(parseRecipe(changed, file)).toMatchObject(numbers);
    expect(numbers['steps']).toBeLessThan(read.steps!);
  });
});
