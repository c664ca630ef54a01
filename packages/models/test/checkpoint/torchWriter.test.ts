import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { weightOf } from '../../src/checkpoint/byteSource.ts';
import {
  Float,
  Inert,
  OrderedDict,
  type PythonValue,
  Tuple,
} from '../../src/checkpoint/pythonValue.ts';
import { allTensors } from '../../src/checkpoint/stateDict.ts';
import { openTorch } from '../../src/node/torchFile.ts';
import { writeTorch } from '../../src/node/torchWriter.ts';
import { floats, golden, lines, temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();
const path = (name: string): string => join(folder, name);

describe('what is written is read back', () => {
  test('containers, numbers, texts', async () => {
    const ordered = new OrderedDict([
      ['z', 1],
      ['a', null],
    ]);
    ordered.state = new Map<PythonValue, PythonValue>([['_metadata', new OrderedDict()]]);
    const value = new Map<PythonValue, PythonValue>([
      [768, Tuple.of(ordered, new OrderedDict())],
      [
        'ints',
        [
          0,
          255,
          256,
          65535,
          65536,
          -1,
          -(2 ** 31),
          2 ** 31,
          Number.MAX_SAFE_INTEGER,
          2n ** 70n,
          -(2n ** 70n),
          -128,
          -129,
        ],
      ],
      ['floats', [0.5, Number.NaN, -Infinity]],
      ['texts', ['', 'h\u00e9 \u{1f600}', 'x'.repeat(5000)]],
      [
        'tuples',
        [Tuple.of(), Tuple.of(1), Tuple.of(1, 2), Tuple.of(1, 2, 3), Tuple.of(1, 2, 3, 4)],
      ],
      ['flags', [true, false, null]],
      ['nothing', new Map()],
    ]);
    await writeTorch(path('all.pt'), value);
    const { value: read, names } = await openTorch(path('all.pt'));
    expect(read).toEqual(value);
    expect(names).toEqual(['collections.OrderedDict']);
    expect(((read as Map<number, Tuple>).get(768)![0] as OrderedDict).state).toEqual(ordered.state);
  });

  test('tensors: one storage for one that occurs twice', async () => {
    const shared = floats([2, 3], [1, 2, 3, 4, 5, 6]);
    const value = new Map<PythonValue, PythonValue>([
      ['a', shared],
      [
        'b',
        [
          shared,
          weightOf('f16', [1], Uint8Array.of(0, 0x3c)),
          weightOf('i64', [], new Uint8Array(8)),
          floats([0, 4], []),
        ],
      ],
    ]);
    await writeTorch(path('tensors.pt'), value);
    expect(lines(allTensors((await openTorch(path('tensors.pt'))).value, ''))).toEqual(
      lines(allTensors(value, '')),
    );
    expect(Object.keys(unzipSync(readFileSync(path('tensors.pt'))))).toEqual([
      'archive/data.pkl',
      'archive/data/0',
      'archive/data/1',
      'archive/data/2',
      'archive/data/3',
      'archive/version',
    ]);
  });

  test("A1111's hypernetwork, embedding and kohya's LoRA", async () => {
    for (const name of ['hn_tanh_ln/result.pt', 'ti_a1111/result.pt', 'kohya_lora/result.pt']) {
      const { value } = await openTorch(golden(`train/${name}`));
      await writeTorch(path('again.pt'), value, { force: true });
      const again = await openTorch(path('again.pt'));
      expect(lines(allTensors(again.value, name))).toEqual(lines(allTensors(value, name)));
      expect(JSON.stringify(again.value)).toBe(JSON.stringify(value));
    }
  });
});

test('whole floats are floats', async () => {
  await writeTorch(path('float.pt'), [new Float(1), 1]);
  const pickle = unzipSync(readFileSync(path('float.pt')))['archive/data.pkl']!;
  expect(Buffer.from(pickle).toString('latin1')).toBe('\x80\x02](G\x3f\xf0\0\0\0\0\0\0K\x01e.');
});

test('the same value gives the same bytes', async () => {
  const value = new Map([['a', floats([2], [1, 2])]]);
  await writeTorch(path('1.pt'), value);
  await writeTorch(path('2.pt'), value);
  expect(readFileSync(path('2.pt')).equals(readFileSync(path('1.pt')))).toBe(true);
});

test('refused: what has no counterpart, what contains itself, what exists', async () => {
  expect(await userError(() => writeTorch(path('no.pt'), new Inert('a.b')))).toContain(
    'cannot be saved',
  );
  expect(await userError(() => writeTorch(path('no.pt'), new Set([1])))).toContain(
    'cannot be saved',
  );
  const loop: PythonValue[] = [];
  loop.push(loop);
  expect(await userError(() => writeTorch(path('no.pt'), loop))).toContain('contains itself');
  expect(await userError(() => writeTorch(path('1.pt'), 1))).toContain('exists already');
});
