import { expect, test } from 'vitest';
import { html } from '../../src/page/html.ts';

const page = (title: string): string => String(html`<p title="${title}">${title}</p>`);

test('text cannot leave its place', () => {
  expect(page('"><script>x</script>')).toBe(
    '<p title="&quot;&gt;&lt;script&gt;x&lt;/script&gt;">&quot;&gt;&lt;script&gt;x&lt;/script&gt;</p>',
  );
  expect(page(`a & 'b'`)).toBe('<p title="a &amp; &#39;b&#39;">a &amp; &#39;b&#39;</p>');
});

test('templates nest, lists join, nothing is nothing, zero is shown', () => {
  const items = ['a<', 'b'].map((item) => html`<li>${item}</li>`);
  expect(String(html`<ul>${items}</ul>${undefined}${false}${0}`)).toBe(
    '<ul><li>a&lt;</li><li>b</li></ul>0',
  );
});

test('control characters and half characters are marked, lines and letters kept', () => {
  expect(page('a\u0000\u001b[1m\ud800\n😀')).toBe(
    '<p title="a\ufffd\ufffd[1m\ufffd\n😀">a\ufffd\ufffd[1m\ufffd\n😀</p>',
  );
});
