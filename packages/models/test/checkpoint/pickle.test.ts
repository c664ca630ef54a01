import { UserError } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../src/checkpoint/byteSource.ts';
import { type PickleContext, readPickle } from '../../src/checkpoint/pickle.ts';
import { Inert, OrderedDict, type PythonValue, Tuple } from '../../src/checkpoint/pythonValue.ts';
import { parseUNetConfig } from '../../src/checkpoint/configFile.ts';
import { readSafetensors } from '../../src/checkpoint/safetensors.ts';
import { allTensors, plainEntries } from '../../src/checkpoint/stateDict.ts';
import { torchContext } from '../../src/checkpoint/torchTensors.ts';
import { fixture, json, userError } from './support.ts';

const load = (bytes: Uint8Array, context: PickleContext = {}): PythonValue =>
  readPickle(bytesSource(bytes, 'file.pt'), 0, bytes.length, context).value;
/** A pickle written by hand: numbers are bytes, texts are ASCII. */
const pickle = (...parts: (number | string)[]): Buffer =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part, 'latin1'))),
  );
const refusal = (...parts: (number | string)[]): Promise<string> =>
  userError(() => load(pickle(...parts)));

/** What `json.dumps` would have made of it. */
function plain(value: PythonValue): unknown {
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  if (Array.isArray(value)) return Array.from(value, plain);
  return typeof value === 'bigint' ? String(value) : value;
}

describe('what Python pickled', () => {
  const { expected, pickles } = json<{
    expected: unknown;
    pickles: { protocol: number; base64: string }[];
  }>(fixture('pickles.json'));
  test.each(pickles)('protocol $protocol', ({ base64 }) => {
    const bytes = Buffer.from(base64, 'base64');
    const { value, end } = readPickle(bytesSource(bytes, 'file.pt'), 0, bytes.length);
    expect(end).toBe(bytes.length);
    expect(plain(value)).toEqual(expected);
    const map = value as Map<PythonValue, PythonValue>;
    expect(map.get('ordered')).toBeInstanceOf(OrderedDict);
    expect([...(map.get('ordered') as OrderedDict).keys()]).toEqual(['z', 'a']);
    expect((map.get('tuples') as PythonValue[]).every((item) => item instanceof Tuple)).toBe(true);
    const [first, second] = map.get('twice') as PythonValue[];
    expect(first).toBe(second);
    expect(map.get(5)).toBe('a number as key');
  });
});

describe('opcodes that no current Python writes here', () => {
  test.each<[string, Uint8Array, unknown]>([
    ['LONG4', pickle(0x8b, '\x02\0\0\0', '\xff\x7f', '.'), 32767],
    ['negative LONG1', pickle(0x8a, 1, 0xff, '.'), -1],
    ['empty LONG1', pickle(0x8a, 0, '.'), 0],
    ['INT as boolean', pickle('I01\n', '.'), true],
    ['Python 2 text', pickle("S'a\\x41\\n\\''\n", '.'), "aA\n'"],
    ['BINSTRING', pickle('T', '\x02\0\0\0', '\xe9!', '.'), '\u00e9!'],
    ['SHORT_BINSTRING', pickle('U', 2, 'ab', '.'), 'ab'],
    ['FLOAT', pickle('F-inf\n', '.'), -Infinity],
    ['DUP', pickle('(]2t.'), [[], []]],
    ['POP and POP_MARK', pickle('K', 1, 'K', 2, '0', '(K', 3, '1.'), 1],
    ['POP of a mark', pickle('K', 1, '(0.'), 1],
    [
      'bytes and bytearray',
      pickle('(C', 1, 'a', 'B', '\x01\0\0\0', 'b', 0x96, '\x01\0\0\0\0\0\0\0', 'c', 't.'),
      [Uint8Array.of(97), Uint8Array.of(98), Uint8Array.of(99)],
    ],
    ['FROZENSET', pickle('(K', 1, 0x91, '.'), new Set([1])],
    ['a self-referring list is kept as one', pickle(']q', 0, 'h', 0, 'a0h', 0, '0K', 7, '.'), 7],
  ])('%s', (_, bytes, value) => {
    const loaded = load(bytes);
    expect(loaded instanceof Tuple ? Array.from(loaded) : loaded).toEqual(value);
  });

  test('classes and calls stay descriptions, whatever is done to them', () => {
    const names: string[] = [];
    const bytes = pickle(
      '(ca.b\nC\n',
      '(ca.b\nf\nK',
      5,
      0x85,
      'R}X\x01\0\0\0xK',
      1,
      'sb',
      'ca.b\nD\n)',
      0x81,
      '(X\x01\0\0\0kK',
      2,
      'u',
      'ca.b\nL\n)',
      0x81,
      '(K',
      1,
      'K',
      2,
      'et',
      '(ia.b\nI\n',
      '(ca.b\nO\nK',
      9,
      'o',
      't.',
    );
    const [kind, calls, instance, object] = load(bytes, {
      named: (name) => names.push(name),
    }) as Inert[] as [Inert, PythonValue[], Inert, Inert];
    expect(names).toEqual(['a.b.C', 'a.b.f', 'a.b.D', 'a.b.L', 'a.b.I', 'a.b.O']);
    expect(kind).toMatchObject({ name: 'a.b.C', args: undefined });
    const [f, d, l] = calls as unknown as Inert[];
    expect(f).toMatchObject({ name: 'a.b.f', state: new Map([['x', 1]]) });
    expect(Array.from(f!.args as Tuple)).toEqual([5]);
    expect(d!.entries).toEqual(new Map([['k', 2]]));
    expect(l!.items).toEqual([1, 2]);
    expect(instance.name).toBe('a.b.I');
    expect(Array.from(object.args as Tuple)).toEqual([9]);
  });

  test('a class as key of a dict', () => {
    const map = load(pickle('}ca.b\nC\nK', 1, 's.')) as Map<Inert, number>;
    expect([...map].map(([key, value]) => [key.name, value])).toEqual([['a.b.C', 1]]);
  });
});

describe('refused', () => {
  test.each([
    'os\nsystem',
    'posix\nsystem',
    'nt\nsystem',
    'subprocess\nPopen',
    'builtins\neval',
    'builtins\nexec',
    '__builtin__\neval',
    'builtins\n__import__',
    'importlib\nimport_module',
    'socket\ncreate_connection',
    'shutil\nrmtree',
    'webbrowser\nopen',
    'runpy\nrun_path',
    'torch.hub\nload',
    'torch.utils.cpp_extension\nload',
    'builtins\neval.x',
    'os.path\njoin',
  ])('%j is named: not called, not even if nothing calls it', async (name) => {
    const full = name.replace('\n', '.');
    expect(await refusal(`c${name}\n.`)).toContain(`refused. It names ${full}, which`);
    const [module, attribute] = name.split('\n') as [string, string];
    const stacked = pickle(
      0x8c,
      module.length,
      module,
      0x8c,
      attribute.length,
      attribute,
      0x93,
      '.',
    );
    expect(await userError(() => load(stacked))).toContain('refused');
    expect(await refusal(`(i${name}\n.`)).toContain('refused');
  });

  test('harmless builtins are not', () => {
    expect(load(pickle('cbuiltins\nset\n(]K', 1, 'atR.'))).toEqual(new Set([1]));
    expect(load(pickle('cbuiltins\ngetattr\n.'))).toBeInstanceOf(Inert);
  });

  test.each<[string, Uint8Array, string]>([
    ['nothing at all', pickle(), 'it ends inside'],
    ['no end', pickle('K', 1), 'it ends inside'],
    ['an unknown opcode', pickle(0xff, '.'), 'opcode 0xff at byte 0 is unknown'],
    ['protocol 6', pickle(0x80, 6, '.'), 'protocol 6'],
    ['an extension code', pickle(0x82, 1, '.'), 'opcode 0x82'],
    ['a buffer from elsewhere', pickle(0x97, '.'), 'opcode 0x97'],
    ['an empty stack', pickle('.'), 'a value is missing'],
    ['a mark in place of a value', pickle('K', 1, '(.'), 'a value is missing'],
    ['a tuple across a mark', pickle('K', 1, '(K', 2, 0x86, '.'), 'a value is missing'],
    ['no mark', pickle('t.'), 'a mark is missing'],
    ['a memo that was never set', pickle('h', 5, '.'), 'memo 5'],
    ['a memo by text', pickle('gx\n.'), 'memo NaN'],
    ['append to a number', pickle('K', 1, 'K', 2, 'a.'), 'no list'],
    ['append to a tuple', pickle(')K', 2, 'a.'), 'no list'],
    ['items of a list', pickle(']K', 2, 'K', 3, 's.'), 'no dict'],
    ['half an item', pickle('}(K', 1, 'u.'), 'no dict'],
    ['a call of a number', pickle('K', 1, ')R.'), 'no function'],
    ['a call without a tuple', pickle('ca\nb\n]R.'), 'no function'],
    ['a name that is no text', pickle('K', 1, 'K', 2, 0x93, '.'), 'two texts'],
    ['a persistent id', pickle('K', 1, 'Q.'), 'outside of itself'],
    ['a text beyond the end', pickle('X\xff\xff\xff\x7f', 'abc.'), 'it ends inside'],
    [
      'a text of 8 exabytes',
      pickle(0x8d, '\xff\xff\xff\xff\xff\xff\xff\x7f', '.'),
      'it ends inside',
    ],
    ['an integer of 2 GB', pickle(0x8b, '\xff\xff\xff\x7f', '.'), 'an integer of'],
    ['an integer in words', pickle('Lfive\n.'), 'an integer written as five'],
    ['a text without quotes', pickle('Sabc\n.'), 'without quotes'],
  ])('%s', async (_, bytes, message) => {
    const said = await userError(() => load(bytes));
    expect(said).toContain('file.pt: the pickle in it is broken');
    expect(said).toContain(message);
  });
});

describe('bombs', () => {
  test('millions of containers', async () => {
    expect(await refusal('('.padEnd(2_000_000, '}'), 't.')).toContain('more than 1000000 objects');
  });
  test('millions of marks', async () => {
    expect(await refusal('('.repeat(5_000_000), '.')).toContain('broken');
  });
  test('a call that copies a large list over and over', async () => {
    const list = pickle(']q', 0, '(', 'N'.repeat(200_000), 'e');
    const copies = 'cbuiltins\nset\nh\0\x85R'.repeat(50);
    expect(load(pickle('(', list.toString('latin1'), copies, 't.'))).toBeInstanceOf(Tuple);
    const pairs = pickle(
      ']q',
      0,
      '(',
      ...Array.from({ length: 60_000 }, (_, i) => `M${String.fromCharCode(i & 255, i >> 8)}N\x86`),
      'e',
    );
    expect(
      await refusal(
        '(',
        pairs.toString('latin1'),
        'ccollections\nOrderedDict\nh\0\x85R'.repeat(50),
        't.',
      ),
    ).toContain('objects');
  });
  test('lists of lists of lists, each twice: a million million leaves', async () => {
    const bytes = pickle('N', '2\x86'.repeat(40), '.');
    expect(await userError(() => allTensors(load(bytes), 'file.pt'))).toContain(
      'nested beyond all use',
    );
  });
  test('a list that contains itself ends', () => {
    expect(allTensors(load(pickle(']q', 0, 'h', 0, 'a.')), 'file.pt').size).toBe(0);
  });
  test('a tower of a million lists', () => {
    const tower = load(pickle(']'.repeat(900_000), 'a'.repeat(899_999), '.'));
    expect(allTensors(tower, 'file.pt').size).toBe(0);
  });
  test('a key of tuples of tuples, each twice', () => {
    const value = load(pickle('}K\x01K\x02\x86', '2\x86'.repeat(40), 'K\x05s.'));
    expect(plainEntries(value)).toEqual({ '(tuple)': 5 });
    expect(allTensors(value, 'file.pt').size).toBe(0);
  });
  test('a reference to data whose key is such a tuple', async () => {
    const bytes = pickle(
      '(X\x07\0\0\0storagectorch\nFloatStorage\nK\x01',
      '2\x86'.repeat(40),
      'X\x03\0\0\0cpuK\x01tQ.',
    );
    const missing = torchContext('file.pt', (key) => {
      throw new UserError(`no ${key}`);
    });
    expect(load(bytes, missing)).toMatchObject({ key: '(tuple)' });
  });
  test('deep nesting in JSON', async () => {
    const deep = `${'['.repeat(500_000)}${']'.repeat(500_000)}`;
    expect(await userError(() => parseUNetConfig(JSON.parse(`{"act_fn":${deep}}`), 'x'))).toContain(
      'act_fn = a value nested beyond all use',
    );
    const header = Buffer.from(`{"a":${deep}}`);
    const file = Buffer.concat([Buffer.alloc(8), header]);
    file.writeBigUInt64LE(BigInt(header.length));
    expect(await userError(() => readSafetensors(bytesSource(file, 'x')))).toContain(
      'tensor a needs dtype',
    );
  });
});
