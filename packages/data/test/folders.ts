import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { onTestFinished } from 'vitest';

const root = join(import.meta.dirname, '../../..');

/** Pictures and numbers of the reference software. */
export const goldens = join(root, 'fixtures/goldens/train');
/** Pictures that PIL made (tools/data/make_fixtures.py). */
export const fixtures = join(root, 'fixtures/data');

/** A folder with these files, gone when the test ends. */
export function folderOf(files: Readonly<Record<string, string | Uint8Array>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'sdft-data-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** Bytes of a PNG of one colour. */
export function plainPng(colour: string, width = 16, height = 16): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: colour } })
    .png()
    .toBuffer();
}

/** f32 tensors of a safetensors file. */
export async function readF32(path: string): Promise<Map<string, Float32Array>> {
  const file = await readFile(path);
  const end = 8 + Number(file.readBigUInt64LE());
  const header: unknown = JSON.parse(file.toString('utf8', 8, end));
  const tensors = new Map<string, Float32Array>();
  for (const [name, entry] of Object.entries(
    header as Record<string, { data_offsets: [number, number] }>,
  )) {
    if (name === '__metadata__') continue;
    const [from, to] = entry.data_offsets;
    tensors.set(name, new Float32Array(new Uint8Array(file.subarray(end + from, end + to)).buffer));
  }
  return tensors;
}
