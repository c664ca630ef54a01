import { describe, expect, it } from 'vitest';
import { decodeText } from '../src/captions.ts';
import { filewordsOf, UserError } from '../src/index.ts';

describe('the words of a file name', () => {
  // The first is what A1111 v1.10.1 gave for the goldens' pictures.
  it.each([
    ['00_chelsea', '_chelsea'],
    ['0012-3 a cat', 'a cat'],
    ['-7-', ''],
    ['a 12 cat', 'a 12 cat'],
    ['٣ camel', 'camel'],
    ['', ''],
  ])('%s', (stem, words) => {
    expect(filewordsOf(stem)).toBe(words);
  });
});

describe('the text of a caption file', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  it.each([
    ['a cat', 'a cat'],
    ['\uFEFFa cat', 'a cat'],
    ['a cat\r\n', 'a cat'],
    ['a cat\r\non a mat\r\n', 'a cat\non a mat'],
    ['', ''],
    ['\n', ''],
    ['Żółć, 猫', 'Żółć, 猫'],
  ])('%j', (content, text) => {
    expect(decodeText(bytes(content), 'x.txt')).toBe(text);
  });

  it('must be UTF-8', () => {
    const latin1 = Uint8Array.of(0x63, 0x61, 0x66, 0xe9);
    expect(() => decodeText(latin1, 'dir/x.txt')).toThrow(UserError);
    expect(() => decodeText(latin1, 'dir/x.txt')).toThrow('dir/x.txt is not UTF-8: save it again');
    const utf16 = Uint8Array.of(0xff, 0xfe, 0x61, 0x00);
    expect(() => decodeText(utf16, 'x.txt')).toThrow('is not UTF-8 but UTF-16');
  });

  it('has an end', () => {
    expect(() => decodeText(new Uint8Array(70_000), 'x.txt')).toThrow('70000 bytes long');
  });
});
