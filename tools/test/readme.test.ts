import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { example } from '../check-install.mjs';

describe("the README's example", () => {
  test('is the code block of language `ts example`, without its fences', () => {
    const markdown = [
      '# Title',
      '```sh',
      'ls',
      '```',
      '```ts example',
      'const a = 1;',
      '',
      'a;',
      '```',
      '```ts',
      'b',
      '```',
      '',
    ];
    expect(example(markdown.join('\n'))).toBe('const a = 1;\n\na;\n');
  });

  test.each([
    ['none', ''],
    ['two', '```ts example\na\n```\n```ts example\nb\n```\n'],
  ])('%s: an error', (_, markdown) => {
    expect(() => example(markdown)).toThrow(/it needs one/);
  });

  test('there is one', () => {
    expect(example(readFileSync(new URL('../../README.md', import.meta.url), 'utf8'))).toContain(
      '@sdft/',
    );
  });
});
