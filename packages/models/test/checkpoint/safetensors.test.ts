import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { UserError, type Weight } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { bytesSource, weightOf } from '../../src/checkpoint/byteSource.ts';
import { readFloat32 } from '../../src/checkpoint/floats.ts';
import { layOut, readSafetensors } from '../../src/checkpoint/safetensors.ts';
import { openSafetensors, writeSafetensors } from '../../src/node/safetensorsFile.ts';
import { fixture, floats, golden, lines, temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();

/** A file of the given header text and as many zero bytes. */
function file(header: string, bytes: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const whole = new Uint8Array(8 + text.length + bytes);
  new DataView(whole.buffer).setBigUint64(0, BigInt(text.length), true);
  whole.set(text, 8);
  return whole;
}
const refusal = (bytes: Uint8Array): Promise<string> =>
  userError(() => readSafetensors(bytesSource(bytes, 'bad.safetensors')));
const tensor = (dtype: string, shape: string, from: number, to: number): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${from},${to}]}`;

describe('reading', () => {
  test('a file of the reference implementation: shapes, places and numbers', () => {
    const path = golden('forward/tiny-sd.vae.safetensors');
    const { tensors, metadata } = openSafetensors(path);
    expect(metadata).toEqual({ format: 'pt' });
    const weight = tensors.get('z')!;
    expect(weight.shape[1]).toBe(4);
    const { offset, length } = weight.file!;
    expect(weight.file!.path).toBe(path);
    expect(
      Buffer.from(weight.read()).equals(readFileSync(path).subarray(offset, offset + length)),
    ).toBe(true);
    expect(readFloat32(weight).every(Number.isFinite)).toBe(true);
    expect(Object.isFrozen(weight)).toBe(true);
  });

  test('a header with trailing spaces, an empty tensor and a scalar', () => {
    const bytes = file(
      `{"a":${tensor('F32', '[0,3]', 0, 0)},"b":${tensor('I64', '[]', 0, 8)},"__metadata__":{"x":"y"}}   `,
      8,
    );
    const { tensors, metadata } = readSafetensors(bytesSource(bytes, 'x'));
    expect([...tensors.values()].map(({ shape, dtype }) => [dtype, shape])).toEqual([
      ['f32', [0, 3]],
      ['i64', []],
    ]);
    expect(metadata).toEqual({ x: 'y' });
  });

  test('a tensor called __proto__', () => {
    const { tensors } = readSafetensors(
      bytesSource(file(`{"__proto__":${tensor('U8', '[2]', 0, 2)}}`, 2), 'x'),
    );
    expect([...tensors.keys()]).toEqual(['__proto__']);
  });

  test('a file that changes while it is in use', async () => {
    const path = join(folder, 'changing.safetensors');
    await writeSafetensors(path, new Map([['a', floats([1], [1])]]));
    const weight = openSafetensors(path).tensors.get('a')!;
    utimesSync(path, 1, 1);
    expect(await userError(() => weight.read())).toContain('changed while it was in use');
  });
});

describe('refused, with file and tensor named', () => {
  test.each<[string, Uint8Array, string | RegExp]>([
    ['too short', new Uint8Array(5), '5 bytes'],
    [
      'a header beyond the limit',
      (() => {
        const b = new Uint8Array(16);
        b[6] = 1;
        return b;
      })(),
      'more than 100000000',
    ],
    [
      'a header beyond the end',
      (() => {
        const b = new Uint8Array(16);
        b[0] = 9;
        return b;
      })(),
      'the header ends at byte 17, the file at 16',
    ],
    ['no JSON', file('{"a":', 0), 'not JSON'],
    ['an array', file('[]', 0), 'does not begin with {'],
    ['leading space', file(' {}', 0), 'does not begin with {'],
    [
      'bytes that are no UTF-8',
      (() => {
        const b = file('{"a":1}', 0);
        b[10] = 0xff;
        return b;
      })(),
      'not JSON',
    ],
    [
      'a name twice',
      file(`{"a":${tensor('U8', '[2]', 0, 2)},"a":${tensor('U8', '[2]', 0, 2)}}`, 2),
      'names "a" twice',
    ],
    [
      'a name twice, once escaped',
      file(`{"a":${tensor('U8', '[2]', 0, 2)},"\\u0061":${tensor('U8', '[2]', 0, 2)}}`, 2),
      'names "a" twice',
    ],
    [
      'a field twice',
      file('{"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}}', 2),
      'names "dtype" twice',
    ],
    [
      'an unknown dtype',
      file(`{"a":${tensor('F99', '[2]', 0, 2)}}`, 2),
      'tensor a has the unknown dtype F99',
    ],
    [
      'a dtype from the prototype',
      file(`{"a":${tensor('constructor', '[2]', 0, 2)}}`, 2),
      'unknown dtype constructor',
    ],
    [
      'a dtype that is not supported',
      file(`{"a":${tensor('F8_E4M3', '[2]', 0, 2)}}`, 2),
      'tensor a is stored as F8_E4M3',
    ],
    [
      'a length that does not fit',
      file(`{"a":${tensor('F32', '[2]', 0, 4)}}`, 4),
      'tensor a: F32 [2] needs 8 bytes',
    ],
    [
      'a shape that overflows',
      file(`{"a":${tensor('U8', '[9007199254740991,9007199254740991]', 0, 1)}}`, 1),
      'tensor a',
    ],
    [
      'a negative size',
      file(`{"a":${tensor('U8', '[-1]', 0, 1)}}`, 1),
      'tensor a needs dtype, shape and data_offsets',
    ],
    ['a fraction', file(`{"a":${tensor('U8', '[1.5]', 0, 1)}}`, 1), 'tensor a needs'],
    ['null in place of a tensor', file('{"a":null}', 0), 'tensor a needs'],
    [
      'an overlap',
      file(`{"a":${tensor('F32', '[4]', 0, 16)},"b":${tensor('F32', '[4]', 8, 24)}}`, 24),
      'tensor b begins at byte 8 and overlaps',
    ],
    [
      'a gap',
      file(`{"a":${tensor('U8', '[4]', 0, 4)},"b":${tensor('U8', '[4]', 8, 12)}}`, 12),
      'tensor b begins at byte 8 and leaves a gap',
    ],
    ['a late start', file(`{"a":${tensor('U8', '[4]', 4, 8)}}`, 8), 'leaves a gap'],
    ['backward offsets', file(`{"a":${tensor('U8', '[4]', 4, 0)}}`, 8), 'tensor a'],
    [
      'an end beyond the file',
      file(`{"a":${tensor('U8', '[9]', 0, 9)}}`, 8),
      'is it a download that was cut?',
    ],
    [
      'bytes after the last tensor',
      file(`{"a":${tensor('U8', '[4]', 0, 4)}}`, 8),
      'its tensors end at byte',
    ],
    [
      'metadata that is no text',
      file('{"__metadata__":{"a":1}}', 0),
      '__metadata__ must map names to texts',
    ],
  ])('%s', async (_, bytes, message) => {
    const said = await refusal(bytes);
    expect(said).toContain('bad.safetensors');
    expect(said).toMatch(message);
  });

  test('the overlapping sample, a missing file, a folder', async () => {
    expect(await userError(() => openSafetensors(golden('files/overlap.safetensors')))).toContain(
      'tensor b begins at byte 8 and overlaps',
    );
    expect(await userError(() => openSafetensors(join(folder, 'none')))).toContain('no such file');
    expect(await userError(() => openSafetensors(folder))).toContain('is a folder');
  });
});

describe('writing', () => {
  const tensors = new Map<string, Weight>([
    ['b', floats([2, 2], [1, 2, 3, 4])],
    ['one byte', weightOf('u8', [3], Uint8Array.of(1, 2, 3))],
    ['a', weightOf('f16', [1], Uint8Array.of(0, 0x3c))],
    ['long', weightOf('i64', [1], new Uint8Array(8))],
    ['__proto__', weightOf('bool', [], Uint8Array.of(1))],
  ]);

  test('is read back the same; every tensor is aligned to its element; the order of insertion does not matter', async () => {
    const [one, two] = [join(folder, 'one.safetensors'), join(folder, 'deep/er/two.safetensors')];
    await writeSafetensors(one, tensors, { metadata: { format: 'pt', a: 'h\u00e9' } });
    await writeSafetensors(two, new Map([...tensors].reverse()), {
      metadata: { a: 'h\u00e9', format: 'pt' },
    });
    expect(readFileSync(two).equals(readFileSync(one))).toBe(true);
    const read = openSafetensors(one);
    expect(lines(read.tensors)).toEqual(lines(tensors));
    expect(read.metadata).toEqual({ a: 'h\u00e9', format: 'pt' });
    expect(read.tensors.get('long')!.file!.offset % 8).toBe(0);
    expect(read.tensors.get('b')!.file!.offset % 4).toBe(0);
    expect(layOut(tensors, {}).head.length % 8).toBe(0);
  });

  test('the same bytes as the reference implementation', async () => {
    const path = fixture('sd2-openclip.safetensors');
    const { tensors: theirs, metadata } = openSafetensors(path);
    const copy = join(folder, 'copy.safetensors');
    await writeSafetensors(copy, theirs, { metadata });
    expect(readFileSync(copy).equals(readFileSync(path))).toBe(true);
  });

  test('refuses to overwrite without force', async () => {
    const path = join(folder, 'kept.safetensors');
    writeFileSync(path, 'kept');
    expect(await userError(() => writeSafetensors(path, tensors))).toContain('exists already');
    expect(readFileSync(path, 'utf8')).toBe('kept');
    await writeSafetensors(path, tensors, { force: true });
    expect(openSafetensors(path).tensors.size).toBe(tensors.size);
  });

  test('leaves nothing behind where a tensor cannot be read, and keeps what was there', async () => {
    const here = join(folder, 'broken');
    mkdirSync(here);
    const path = join(here, 'out.safetensors');
    writeFileSync(path, 'kept');
    const bad = new Map(tensors).set('z', {
      ...floats([1], [1]),
      read: () => {
        throw new UserError('gone');
      },
    });
    expect(await userError(() => writeSafetensors(path, bad, { force: true }))).toBe('gone');
    expect(readdirSync(here)).toEqual(['out.safetensors']);
    expect(readFileSync(path, 'utf8')).toBe('kept');
  });

  test('a tensor can be rewritten into its own file', async () => {
    const path = join(folder, 'self.safetensors');
    await writeSafetensors(path, tensors);
    await writeSafetensors(path, openSafetensors(path).tensors, { force: true });
    expect(lines(openSafetensors(path).tensors)).toEqual(lines(tensors));
  });

  test('a limit on file sizes, standing in for a full disk: says so, leaves nothing behind', () => {
    const here = join(folder, 'full');
    mkdirSync(here);
    const path = join(here, 'out.safetensors');
    const script = `
      import { writeSafetensors } from ${JSON.stringify(new URL('../../src/node/safetensorsFile.ts', import.meta.url).href)};
      const big = { dtype: 'f32', shape: [1e6], read: () => new Uint8Array(4e6) };
      await writeSafetensors(${JSON.stringify(path)}, new Map([['a', big], ['b', big]])).catch((error) => console.log(error.name, error.message));`;
    const said = execFileSync(
      'sh',
      [
        '-c',
        'ulimit -f 1000; exec "$0" --conditions=@sdft/source --input-type=module -e "$1"',
        process.execPath,
        script,
      ],
      { encoding: 'utf8' },
    );
    expect(said).toMatch(/^UserError .*out\.safetensors: the file would be larger than allowed/);
    expect(readdirSync(here)).toEqual([]);
  });

  test('a write that is interrupted by the end of the process leaves nothing behind', () => {
    const here = join(folder, 'interrupted');
    mkdirSync(here);
    const path = join(here, 'out.safetensors');
    const script = `
      import { writeSafetensors } from ${JSON.stringify(new URL('../../src/node/safetensorsFile.ts', import.meta.url).href)};
      const stop = { dtype: 'f32', shape: [1], read: () => process.exit(130) };
      await writeSafetensors(${JSON.stringify(path)}, new Map([['a', stop]]));`;
    expect(() =>
      execFileSync(
        process.execPath,
        ['--conditions=@sdft/source', '--input-type=module', '-e', script],
        { stdio: 'ignore' },
      ),
    ).toThrow();
    expect(readdirSync(here)).toEqual([]);
    expect(existsSync(path)).toBe(false);
  });

  test('permissions follow the umask', async () => {
    const path = join(folder, 'mode.safetensors');
    await writeSafetensors(path, tensors);
    expect(statSync(path).mode & 0o777).toBe(0o666 & ~process.umask());
  });
});
