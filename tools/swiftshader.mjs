// Unpacks SwiftShader, a Vulkan driver that computes on the processor, out of @sparticuz/chromium, to where the webgpu backend looks for it.
// node tools/swiftshader.mjs
import { createReadStream, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress } from 'node:zlib';
// @ts-expect-error it has no types
import { extract } from 'tar-fs';

const folder = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'sdft',
  'swiftshader',
);
if (!existsSync(join(folder, 'vk_swiftshader_icd.json'))) {
  const packed = join(
    dirname(fileURLToPath(import.meta.resolve('@sparticuz/chromium'))),
    '..',
    'bin',
    'swiftshader.tar.br',
  );
  // Whole or not at all: others may be looking.
  const parts = `${folder}.${process.pid}`;
  mkdirSync(parts, { recursive: true });
  await pipeline(createReadStream(packed), createBrotliDecompress(), extract(parts));
  try {
    renameSync(parts, folder);
  } catch {
    rmSync(parts, { recursive: true, force: true });
  }
}
console.log(join(folder, 'vk_swiftshader_icd.json'));
