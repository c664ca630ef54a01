import { describe, expect, test } from 'vitest';
import { caseNames, caseOf, numbersOf, sizeOf } from '../engines/cases.ts';
import {
  answerIn,
  type CaseResult,
  difference,
  markdown,
  merged,
  refusal,
  timedSide,
} from '../engines/compare.ts';
import { modelOf } from '../engines/onnx.ts';
import { Player } from '../engines/player.ts';

const small = { shape: [2, 3], scale: 0.5 };

describe('a result', () => {
  const ours = Float32Array.of(3, 4);

  test.each([
    ['the same', [3, 4], 0],
    ['rounding', [3, 4.00005], 1e-5],
    ['another operation', [3, 4.5], 0.1],
    ['numbers that lie otherwise', [4, 3], Math.SQRT2 / 5],
    ['a part of it', [3], Number.POSITIVE_INFINITY],
  ])('%s', (_, theirs, expected) => {
    const error = difference(Float32Array.from(theirs), ours);
    if (Number.isFinite(expected)) expect(error).toBeCloseTo(expected, 6);
    else expect(error).toBe(expected);
    if (expected < 1e-4) expect(refusal(error)).toBeUndefined();
    else expect(refusal(error)).toMatch(/differs from sdft's by/);
  });

  test('that is no number is refused', () => {
    expect(refusal(difference(Float32Array.of(3, Number.NaN), ours))).toMatch(/NaN/);
  });
});

describe('an answer', () => {
  test.each([
    ['{"adapter":"llvmpipe"}', { adapter: 'llvmpipe' }],
    ['{"seconds":0.25}', { seconds: 0.25 }],
    ['{"failed":"Error: no kernel"}', { failed: 'Error: no kernel' }],
  ])('%s', (line, expected) => {
    expect(answerIn(line)).toEqual(expected);
  });

  test.each(['{"seconds":0}', '{"seconds":"1"}', 'null', 'Segmentation fault'])(
    '%s is none',
    (line) => {
      expect(() => answerIn(line)).toThrow(`not an answer: ${line}`);
    },
  );
});

test('ratios are theirs over ours, round by round; what failed stays in sight', () => {
  const ours = timedSide({ seconds: [0.1, 0.2, 0.1], runs: 2, error: 0 }, 1e9);
  const theirs = timedSide({ seconds: [0.2, 0.4, 0.2], runs: 1, error: 1e-6 }, 1e9, ours.seconds);
  expect(ours).toMatchObject({ median: 0.1, gflops: 10 });
  expect(theirs.ratio).toEqual({ ofMedians: 2, ofPairs: 2, interval: [2, 2] });
  const result: CaseResult = {
    ...{ case: 'matmul-512', what: 'a b' },
    sides: { sdft: ours, tfjs: theirs, 'jax-js': { failed: 'Error: no kernel\n    at somewhere' } },
  };
  expect(markdown([result], ['sdft', 'tfjs', 'jax-js']).split('\n').slice(2)).toEqual([
    '| matmul-512: a b | 100 ms | 200 ms; 2.00 (2.00 to 2.00) | failed |',
    '- jax-js, matmul-512: Error: no kernel',
  ]);
  const again = { ...result, what: 'once more' };
  const other: CaseResult = { ...result, case: 'chain' };
  expect(merged([result, other], [again]).map(({ what }) => what)).toEqual(['once more', 'a b']);
});

test('every case says what it needs, and draws the same numbers each time', () => {
  for (const name of caseNames) {
    const one = caseOf(name);
    const { a, b } = numbersOf({ ...one, operands: { a: small, b: small } });
    expect(a).toHaveLength(6);
    expect(a).not.toEqual(b);
    expect(Math.max(...a!.map(Math.abs))).toBeLessThanOrEqual(small.scale);
    expect(numbersOf({ ...one, operands: { a: small } })).toEqual({ a });
    const operands = Object.values(one.operands);
    expect(operands.every(({ shape }) => sizeOf(shape) > 0)).toBe(true);
  }
  expect(() => caseOf('matmul')).toThrow('matmul is none of matmul-512');
});

test('a process that ends instead of answering says why', async () => {
  const player = new Player('tfjs', [
    ...[process.execPath, '-e'],
    `console.log('{"adapter":"a card"}'); console.error('out of memory'); process.exitCode = 3;`,
  ] as unknown as [string, ...string[]]);
  expect(await player.answer()).toEqual({ adapter: 'a card' });
  const said = await player.obey({ kind: 'time', runs: 1 });
  expect(said).toEqual({ failed: expect.stringMatching(/status 3: out of memory/) });
});

// One field of each kind, by hand.
test('a model is what onnx.proto says', () => {
  const model = modelOf(
    [{ op: 'N', inputs: ['x'], output: 'y', integers: { i: -1, l: [300] }, floats: { f: 1 } }],
    [{ name: 'x', shape: [2] }],
    { name: 'y', shape: [2] },
  );
  const hex = Buffer.from(model).toString('hex');
  expect(hex.slice(0, 8)).toMatch(/^080a3a/);
  // An attribute `i` of -1 is ten bytes of a varint; `l` holds 300 as ac 02; `f` is 1.0, little-endian.
  expect(hex).toContain('0a01' + '69' + '18ffffffffffffffffff01' + 'a00102');
  expect(hex).toContain('0a01' + '6c' + '40ac02' + 'a00107');
  expect(hex).toContain('0a01' + '66' + '150000803f' + 'a00101');
});
