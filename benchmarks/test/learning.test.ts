/** @file docs/benchmarks.md says what was measured. After a new measurement: benchmarks/learning/run.ts --results */
import { mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesHash } from '../../tools/start/folders.ts';
import { askedOf } from '../learning/asked.ts';
import { wordOf } from '../learning/evaluate.ts';
import { type Method, methods, seedsOf } from '../learning/methods.ts';
import { learningText, withLearning } from '../learning/page.ts';
import { foldersOf, pairIn, type Place } from '../learning/pairs.ts';
import { asGood, deviation, type MethodResult, type Results } from '../learning/results.ts';
import { stepsOfBar, stepsOfLines } from '../learning/side.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

const page = read('docs/benchmarks.md');
const results = JSON.parse(read('benchmarks/results/learning.json')) as Results;

test('the page has the tables that the results make', () => {
  expect(withLearning(page, results)).toBe(page);
});

test('every method learned, on both sides, at three seeds or more, and ours no worse', () => {
  expect(results.methods.map(({ method }) => method)).toEqual(methods.map(({ name }) => name));
  for (const [i, result] of results.methods.entries()) {
    const { before, pairs } = result;
    expect(pairs.map(({ seed }) => seed)).toEqual(seedsOf(methods[i]!));
    expect(asGood(result)).toBe(true);
    for (const { ours, theirs } of pairs)
      for (const { validationLoss } of [ours, theirs])
        expect(validationLoss).toBeLessThan(before.validationLoss);
  }
});

describe('no worse', () => {
  const result = (ours: number[], theirs: number[]) =>
    ({
      pairs: ours.map((validationLoss, i) => ({
        ours: { validationLoss },
        theirs: { validationLoss: theirs[i] },
      })),
    }) as unknown as MethodResult;

  test('is up to one standard deviation above', () => {
    expect(deviation([0.1, 0.2, 0.3])).toBeCloseTo(0.1, 12);
    expect(asGood(result([0.29, 0.29, 0.29], [0.1, 0.2, 0.3]))).toBe(true);
    expect(asGood(result([0.31, 0.31, 0.31], [0.1, 0.2, 0.3]))).toBe(false);
    expect(asGood(result([0.1], [0.1]))).toBeUndefined();
  });
});

const common = { inputs: 'aa', threads: 1 };

describe('what a pair was asked', () => {
  const [method] = methods as [Method];

  test('is another text where steps, threads, inputs or seed are others', () => {
    const shorter = { ...method, settings: { ...method.settings, steps: 7 } };
    const asked = askedOf(method, 0, common);
    expect(askedOf({ ...method }, 0, { ...common })).toBe(asked);
    const others = [
      askedOf(shorter, 0, common),
      askedOf(method, 0, { ...common, threads: 2 }),
      askedOf(method, 0, { ...common, inputs: 'bb' }),
      askedOf(method, 1, common),
    ];
    expect(new Set([asked, ...others]).size).toBe(5);
    // A working folder may be moved.
    expect(asked).not.toContain('"/');
  });

  test('decides whether a pair that is there counts', () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'learning-'));
    const notes: string[] = [];
    const place = { ...common, work: folder.path, note: (text: string) => notes.push(text) };
    const inPlace = place as unknown as Place;
    expect(pairIn(inPlace, method, 0)).toBeUndefined();
    const { measured } = foldersOf(folder.path, method, 0);
    mkdirSync(dirname(measured), { recursive: true });
    writeFileSync(measured, JSON.stringify({ asked: askedOf(method, 0, common), busyCores: [0] }));
    expect(pairIn(inPlace, method, 0)?.busyCores).toEqual([0]);
    expect(notes).toEqual([]);
    expect(pairIn({ ...inPlace, inputs: 'bb' }, method, 0)).toBeUndefined();
    expect(notes).toEqual([expect.stringMatching(/seed 0: .*not counted/)]);
  });

  test('holds a hash that changes with any file', () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'learning-'));
    mkdirSync(join(folder.path, 'unet'));
    const write = (text: string) => writeFileSync(join(folder.path, 'unet/weights'), text);
    write('old');
    const hash = filesHash(folder.path);
    expect(filesHash(join(folder.path, 'unet/weights'))).toBe(hash);
    write('new');
    expect(filesHash(folder.path)).not.toBe(hash);
  });
});

test('prompts have the word that was taught, else the one of the captions', () => {
  expect(wordOf({}, [], true)).toBe('outline');
  expect(wordOf({ nameBefore: 'flat' }, [], true)).toBe('flat');
  expect(wordOf({ nameBefore: 'flat' }, ['<outline>'], false)).toBe('<outline>');
  expect(wordOf({ nameBefore: 'flat' }, [], false)).toBe('outline');
});

test('scores stand in the table as means and deviations', () => {
  const of = (style: number) => ({ ...results.methods[0]!.pairs[0]!.ours, style });
  const pair = (seed: number, theirs: number, ours: number) => ({
    ...{ seed, busyCores: [0], theirs: of(theirs), ours: of(ours) },
  });
  const method = {
    ...results.methods[0]!,
    before: { validationLoss: 0.2, style: 0.05, concept: 0.3, diversity: 0.1 },
    pairs: [pair(0, 0.4, 0.5), pair(1, 0.5, 0.7), pair(2, 0.6, 0.9)],
  };
  const text = learningText({ ...results, methods: [method] });
  expect(text).toContain(`| ${method.title} | 5 | 50 ± 10 | 70 ± 20 | 30 | `);
  expect(text).toContain('Other programs kept 0.0 cores busy (median; at most 0.0).');
});

test('steps are read from a bar and from lines', () => {
  const bar = [
    'Steps:  7%| | 7/50 [00:12<02:41]',
    ' 60%| | 30/50 [00:01<00:01, 9it/s]',
    'Training hypernetwork [Epoch 1: 4/5]loss: 0.1: 16%| | 8/50 [00:13<02:40, 1it/s]',
  ].join('\r');
  expect([...stepsOfBar(bar, 50)]).toEqual([7, 8]);
  const lines = '{"step":1,"loss":0.1}\n{"step":1,"validationLoss":0.2}\n{"step":2,"loss":0.1}\n';
  expect([...stepsOfLines(lines)]).toEqual([1, 2]);
});
