import { describe, expect, test } from 'vitest';
import { progressText, type ProgressState } from '../src/terminal/progressText.ts';
import { bytes, clock, seconds } from '../src/terminal/quantities.ts';
import { wrapped } from '../src/terminal/wrapped.ts';

const state: ProgressState = {
  title: 'training',
  done: 150,
  total: 600,
  unit: 'step',
  details: ['loss 0.1234', 'lr 5.0e-3', '1.20 GB'],
  perStep: 0.214,
  left: 96.3,
};

describe('progress line', () => {
  test('without a terminal it is text alone', () => {
    expect(progressText(state)).toBe(
      'training  150/600  loss 0.1234  lr 5.0e-3  1.20 GB  0.21 s/step  1:36 left',
    );
    expect(progressText({ ...state, details: [], perStep: undefined, left: undefined })).toBe(
      'training  150/600',
    );
  });

  test('on a wide terminal there is a bar, filled by as much as is done', () => {
    const line = progressText(state, { columns: 120, blocks: true });
    expect(line).toContain('▕███████                     ▏');
    expect(progressText(state, { columns: 120, blocks: false })).toContain(
      '[#######                     ]',
    );
  });

  test('it never gets wider than the terminal: details go first, pace and time after them', () => {
    for (let columns = 5; columns < 130; columns++)
      expect(progressText(state, { columns, blocks: true }).length).toBeLessThanOrEqual(columns);
    const narrow = progressText(state, { columns: 60, blocks: true });
    expect(narrow).toContain('1:36 left');
    expect(narrow).not.toContain('GB');
  });
});

describe('quantities', () => {
  test.for([
    [0, '0 B'],
    [999, '999 B'],
    [999.6, '1.00 kB'],
    [1234, '1.23 kB'],
    [99.96e6, '100 MB'],
    [3.44e9, '3.44 GB'],
    [5e15, '5000 TB'],
  ] as const)('%d bytes are %s', ([count, text]) => expect(bytes(count)).toBe(text));

  test('times', () => {
    expect([0, 59.6, 61, 3600, 36_000].map(clock)).toEqual([
      '0:00',
      '1:00',
      '1:01',
      '1:00:00',
      '10:00:00',
    ]);
    expect([0.0123, 0.214, 9.99, 12.4].map(seconds)).toEqual(['0.012 s', '0.21 s', '10 s', '12 s']);
  });

  test('words fill lines', () => {
    expect(wrapped(['aa', 'bb', 'cc'], '  ', 9)).toEqual(['  aa   bb', '  cc']);
    expect(wrapped([], '  ', 9)).toEqual([]);
  });
});
