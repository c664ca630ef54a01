/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { page as documentOf } from '../../src/page/page.ts';
import { openBrowser } from '../support/chromium.ts';
import { madeUp } from '../support/report.ts';
import { lowContrast } from './contrast.ts';

const folder = mkdtempSync(join(tmpdir(), 'sdft-page-'));
let browser: Browser | undefined;

beforeAll(async () => {
  browser = await openBrowser();
  // The first time it is unpacked.
}, 60_000);
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What a page said and asked for while it was open. */
interface Heard {
  readonly page: Page;
  readonly requests: string[];
  readonly complaints: string[];
}

async function open(document: string, options: BrowserContextOptions = {}): Promise<Heard> {
  const file = join(folder, `${crypto.randomUUID()}.html`);
  writeFileSync(file, document);
  const context = await browser!.newContext(options);
  const page = await context.newPage();
  const [requests, complaints]: string[][] = [[], []];
  const own = pathToFileURL(file).href;
  page.on('request', (request) => {
    const url = request.url();
    if (url !== own && !url.startsWith('data:')) requests!.push(url);
  });
  page.on('console', (message) => complaints!.push(message.text()));
  page.on('pageerror', (error) => complaints!.push(error.message));
  page.on('dialog', (dialog) => {
    complaints!.push(`dialog ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(own);
  return { page, requests: requests!, complaints: complaints! };
}

/** Presses Tab until an element has the focus. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 80; presses++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
  }
  throw new Error(`Tab never reaches ${selector}`);
}

const hostile = [
  '<script>window.pwned=1</script>',
  '</script><script>window.pwned=1</script>',
  '"><img src=x onerror="window.pwned=1">',
  "' onfocus='window.pwned=1' autofocus='",
  '</title></style></textarea><svg onload=window.pwned=1>',
  'javascript:window.pwned=1',
  '--><iframe srcdoc="<script>parent.pwned=1</script>">',
  '<link rel=stylesheet href=https://example.com/x.css><base href=https://example.com/>',
];

test('whatever texts hold, nothing is executed and nothing is loaded', async () => {
  const hostilePage = await documentOf(
    madeUp((own) => `${own} ${hostile.join(' ')} \${window.pwned=1}`),
  );
  const { page, requests, complaints } = await open(hostilePage);
  for (const shot of await page.locator('.shot, summary').all()) await shot.focus();
  for (const shot of [3, 9]) await page.locator('.shot').nth(shot).hover();
  await page.locator('.shot').first().click();
  await page.keyboard.press('ArrowRight');
  const found = await page.evaluate(() => ({
    pwned: (window as unknown as { pwned?: number }).pwned,
    scripts: document.scripts.length,
    handlers: [...document.querySelectorAll('*')].flatMap((one) =>
      one.getAttributeNames().filter((name) => name.startsWith('on') || name === 'style'),
    ),
    foreign: document.querySelectorAll('iframe,object,embed,link,base,form,a:not(.skip)').length,
    title: document.title,
    prompt: document.querySelector('[data-part=prompt]')!.textContent,
    label: document.querySelector('.plot text:last-child')?.textContent,
  }));
  expect(found).toMatchObject({ pwned: undefined, scripts: 1, handlers: [], foreign: 0 });
  // They are shown as they are.
  expect(found.title).toContain(hostile[0]);
  expect(found.prompt).toContain(hostile[2]);
  expect({ requests, complaints }).toEqual({ requests: [], complaints: [] });
});

test('the policy stops scripts, styles and pictures that are not the page own', async () => {
  const changed = (await documentOf(madeUp())).replace(
    '</body>',
    '<script>window.pwned=1</script><img src="https://example.com/x.png" onerror="window.pwned=1"></body>',
  );
  const { page, complaints } = await open(changed);
  expect(await page.evaluate(() => 'pwned' in window)).toBe(false);
  expect(complaints.filter((text) => /Content Security Policy/.test(text)).length).toBeGreaterThan(
    1,
  );
});

describe('with the keyboard alone', () => {
  test('a picture opens large, arrows go to its neighbours, Escape back to the sheet', async () => {
    const { page, complaints } = await open(await documentOf(madeUp()));
    const part = (name: string) => page.locator(`[data-part=${name}]`).textContent();
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement!.className)).toBe('skip');
    await tabTo(page, '.shot');
    const outline = await page.evaluate(
      () => getComputedStyle(document.activeElement!).outlineStyle,
    );
    expect(outline).toBe('solid');
    await page.keyboard.press('Enter');
    expect([await part('label'), await part('seed'), await part('command')]).toEqual([
      'base',
      '1',
      'sdft generate 0 0 1',
    ]);
    expect(await part('prompt')).toBe('a flat drawing of a boy');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    expect(await part('command')).toBe('sdft generate 1 1 1');
    expect(await part('prompt')).toBe('a <boy> drawing of an astronaut');
    await page.keyboard.press('Escape');
    const after = () =>
      page.evaluate(() => ({
        open: document.querySelector('dialog')!.open,
        at: (document.activeElement as HTMLElement).dataset['at'],
      }));
    // A browser tells of a closed dialog in a task of its own.
    await expect.poll(after).toEqual({ open: false, at: '2,1' });
    expect(complaints).toEqual([]);
  });

  test('losses over minutes, a recipe, a command are reached and copied', async () => {
    const { page } = await open(await documentOf(madeUp()), {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    await tabTo(page, '.switch input');
    const visible = () =>
      page.evaluate(() =>
        [...document.querySelectorAll('.plot')]
          .filter((plot) => plot.getClientRects().length > 0)
          .map((plot) => plot.getAttribute('aria-label')!.split(':')[0]),
      );
    expect(await visible()).toEqual(['Training loss over steps', 'Validation loss over steps']);
    await page.keyboard.press('ArrowRight');
    expect(await visible()).toEqual(['Training loss over minutes', 'Validation loss over minutes']);
    await tabTo(page, '.recipe summary');
    await page.keyboard.press('Enter');
    await tabTo(page, '.recipe .copy');
    await page.keyboard.press('Enter');
    await expect.poll(copied).toBe('base: nano\nmethod: textual-inversion\n');
    expect(await page.locator('#said').textContent()).toBe('Copied');
    await page.locator('.shot').nth(1).focus();
    await page.keyboard.press('Enter');
    await tabTo(page, 'dialog .copy');
    await page.keyboard.press('Enter');
    await expect.poll(copied).toBe('sdft generate 1 0 1');
  });
});

describe.for(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test('every text and every line can be told from what it stands on', async () => {
    const { page } = await open(await documentOf(madeUp()), { colorScheme });
    await page.evaluate(() =>
      document.querySelectorAll('details').forEach((one) => (one.open = true)),
    );
    expect(await page.evaluate(lowContrast)).toEqual([]);
    await page.locator('.shot').first().click();
    expect(await page.evaluate(lowContrast)).toEqual([]);
  });
});

test('nothing is wider than a small telephone', async () => {
  const { page } = await open(
    await documentOf(madeUp((own) => own.replace('nano', 'n'.repeat(90)))),
    {
      viewport: { width: 360, height: 700 },
    },
  );
  expect(await page.evaluate(() => document.scrollingElement!.scrollWidth)).toBe(360);
});

test('headings, tables, pictures and buttons say what they are', async () => {
  const { page } = await open(await documentOf(madeUp()));
  const found = await page.evaluate(() => {
    const all = (selector: string) => [...document.querySelectorAll<HTMLElement>(selector)];
    return {
      levels: all('main h2, main h3, h1')
        .map(({ tagName }) => tagName)
        .filter((name) => name === 'H1').length,
      headers: all('th').filter((one) => !one.hasAttribute('scope')).length,
      silent: all('img').filter((one) => one.closest('dialog') === null && !one.getAttribute('alt'))
        .length,
      nameless: all('button, summary').filter(
        (one) => !one.textContent.trim() && !one.querySelector('img[alt]') && !one.ariaLabel,
      ).length,
      plots: all('.plot').filter((one) => !one.ariaLabel).length,
      twice: all('[id]').length - new Set(all('[id]').map(({ id }) => id)).size,
    };
  });
  expect(found).toEqual({ levels: 1, headers: 0, silent: 0, nameless: 0, plots: 0, twice: 0 });
});

test('on paper it is light, without what only a screen can do', async () => {
  const { page } = await open(await documentOf(madeUp()), { colorScheme: 'dark' });
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  const [ink, shown] = await page.evaluate(() => [
    getComputedStyle(document.body).color,
    [...document.querySelectorAll('.skip, .copy, .switch')].filter(
      (one) => one.getClientRects().length > 0,
    ).length,
  ]);
  expect(ink).toBe('rgb(29, 30, 32)');
  expect(shown).toBe(0);
});
