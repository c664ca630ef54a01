/** @file Archives of any size, read by yauzl and fflate. */
import { unzipSync } from 'fflate';
import { expect, test } from 'vitest';
import type { ByteSource } from '../../src/checkpoint/byteSource.ts';
import { readZipEntries } from '../../src/node/zipEntries.ts';
import { zipStored } from '../../src/node/zipWriter.ts';

type Member = readonly [name: string, bytes: Uint8Array];

/** An archive that nobody holds as a whole: its chunks, one after the other. */
function sourceOf(chunks: Iterable<Uint8Array>): ByteSource {
  const placed: { readonly from: number; readonly bytes: Uint8Array }[] = [];
  let size = 0;
  for (const bytes of chunks) {
    placed.push({ from: size, bytes });
    size += bytes.length;
  }
  return {
    name: 'archive',
    isFile: false,
    size,
    read(offset, length) {
      const part = new Uint8Array(length);
      for (const { from, bytes } of placed) {
        const [first, last] = [
          Math.max(from, offset),
          Math.min(from + bytes.length, offset + length),
        ];
        if (first < last) part.set(bytes.subarray(first - from, last - from), first - offset);
      }
      return part;
    },
  };
}

test('what is small is a plain zip, and contents begin where they can be mapped', async () => {
  const members: Member[] = [
    ['archive/data.pkl', Uint8Array.of(1, 2, 3)],
    ['archive/data/0', new Uint8Array(100).fill(7)],
    ['archive/h\u00e9', new Uint8Array(0)],
    ['archive/data/1', new Uint8Array(64).fill(9)],
  ];
  const chunks = [...zipStored(members)];
  expect(unzipSync(Buffer.concat(chunks))).toEqual(Object.fromEntries(members));
  const entries = [...(await readZipEntries(sourceOf(chunks))).values()];
  expect(entries.map(({ name, length }) => [name, length])).toEqual(
    members.map(([name, { length }]) => [name, length]),
  );
  for (const { name, offset } of entries) expect(offset % 64, name).toBe(0);
});

test('more than 4 GB: places behind it are those of zip64', async () => {
  const gigabyte = new Uint8Array(2 ** 30);
  const last = Uint8Array.of(4, 5, 6);
  const members: Member[] = [
    ['data.pkl', Uint8Array.of(1)],
    ...['0', '1', '2', '3'].map((name): Member => [name, gigabyte]),
    ['last', last],
  ];
  const source = sourceOf(zipStored(members));
  expect(source.size).toBeGreaterThan(2 ** 32);
  const entries = await readZipEntries(source);
  expect([...entries.keys()]).toEqual(['data.pkl', '0', '1', '2', '3', 'last']);
  const { offset, length } = entries.get('last')!;
  expect(offset).toBeGreaterThan(2 ** 32);
  expect(source.read(offset, length)).toEqual(last);
});

test('more files than 16 bits count', () => {
  const nothing = new Uint8Array(0);
  const members = function* (): Generator<Member> {
    yield ['data.pkl', nothing];
    for (let i = 0; i < 0xffff; i++) yield [String(i), nothing];
  };
  let end = new Uint8Array(0);
  for (const chunk of zipStored(members())) end = Uint8Array.from(chunk);
  const view = new DataView(end.buffer);
  // The zip64 end with the count twice, its locator, and the plain end that points there.
  expect(view.getUint32(0, true)).toBe(0x06064b50);
  expect(view.getBigUint64(24, true)).toBe(0x10000n);
  expect(view.getBigUint64(32, true)).toBe(0x10000n);
  expect(view.getUint32(56, true)).toBe(0x07064b50);
  expect(view.getUint32(76, true)).toBe(0x06054b50);
  expect(view.getUint16(76 + 10, true)).toBe(0xffff);
});
