import { expect, test } from 'vitest';
import { bestOf, figureKinds, glance } from '../../src/page/figures.ts';
import { smoothed, thinned } from '../../src/page/curves.ts';
import { bytes, change, count, duration, listed } from '../../src/page/quantities.ts';
import type { Column, Figures } from '../../src/page/report.ts';
import { seriesOf } from '../../src/page/series.ts';
import { madeUp } from '../support/report.ts';

const kind = (key: keyof Figures) => figureKinds.find((one) => one.key === key)!;
const columns = (key: keyof Figures, ...values: readonly (number | undefined)[]): Column[] =>
  madeUp()
    .columns.slice(0, values.length)
    .map((column, i) => ({
      ...column,
      figures: { ...column.figures, [key]: values[i] },
    }));

test('the best run is the one with more, or with less; the base does not compete', () => {
  expect(bestOf(kind('style'), columns('style', 0.99, 0.2, 0.7))).toEqual([2]);
  expect(bestOf(kind('heldOutLoss'), columns('heldOutLoss', 0.1, 0.13, 0.12, 0.14))).toEqual([2]);
});

test('figures that look alike are both best; where all are alike, or one is alone, none is', () => {
  expect(bestOf(kind('style'), columns('style', 0, 0.8001, 0.8002, 0.1))).toEqual([1, 2]);
  expect(bestOf(kind('style'), columns('style', 0, 0.8001, 0.8002))).toEqual([]);
  expect(bestOf(kind('style'), columns('style', 0, 0.8, undefined))).toEqual([]);
});

test('forgetting is told as what the loss has risen by', () => {
  const { columns: all } = madeUp();
  expect(kind('heldOutLoss').text(0.1133, 0.11)).toBe('+3.0\u00a0%');
  expect(String(glance({ ...madeUp(), columns: all.slice(0, 3) }))).toContain('Forgot least');
  expect(String(glance({ ...madeUp(), columns: all.slice(0, 2) }))).toBe('');
});

test('numbers as people read them', () => {
  expect(
    [bytes(0), bytes(999), bytes(1234), bytes(3.4e9)].map((text) => text.replace('\u00a0', ' ')),
  ).toEqual(['0 B', '999 B', '1.23 kB', '3.4 GB']);
  expect([4.256, 48.2, 125, 3725].map((text) => duration(text).replaceAll('\u00a0', ' '))).toEqual([
    '4.26 s',
    '48 s',
    '2 min 05 s',
    '1 h 02 min',
  ]);
  expect([count(1536), count(3.4e6)]).toEqual(['1,536', '3.4\u00a0million']);
  expect([change(0.1, 0.09), change(0.1, 0.10001)]).toEqual(['\u221210.0\u00a0%', '±0.0\u00a0%']);
  expect([listed([]), listed(['a']), listed(['a', 'b', 'c'])]).toEqual(['', 'a', 'a, b and c']);
});

test('a running mean keeps means and ends; points are thinned evenly', () => {
  const points = Array.from({ length: 100 }, (_, i) => ({
    step: i,
    loss: i % 2,
    seconds: undefined,
  }));
  const mean = smoothed(points, 0.2);
  expect(mean[50]!.loss).toBeCloseTo(0.5, 1);
  expect(mean.map(({ step }) => step)).toEqual(points.map(({ step }) => step));
  expect(smoothed(points.slice(0, 3)).map(({ loss }) => loss)).toEqual([0, 1, 0]);
  expect(thinned([1, 2, 3, 4, 5], 3)).toEqual([1, 3, 5]);
});

test('the base and thirty runs all look different', () => {
  const looks = Array.from({ length: 31 }, (_, i) => {
    const { colour, dash, marker } = seriesOf(i);
    return `${colour} ${dash.join()} ${marker}`;
  });
  expect(new Set(looks).size).toBe(31);
});
