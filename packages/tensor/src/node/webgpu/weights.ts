/** @file Weights read from the files that hold them piece by piece, so that none is in memory whole. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { ReadWeight } from '../../backends/webgpu/upload.ts';
import { UserError } from '../../errors.ts';

const PIECE = 16 * 2 ** 20;

export const readFromFiles: ReadWeight = function* (weight, elementBytes) {
  const { file } = weight;
  if (!file) {
    yield weight.read();
    return;
  }
  const { path, offset, length } = file;
  let opened: number;
  try {
    opened = openSync(path, 'r');
  } catch (error) {
    throw new UserError(
      `the weights in ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}); was the file moved or deleted?`,
    );
  }
  try {
    const most = Math.floor(PIECE / elementBytes) * elementBytes;
    for (let done = 0; done < length; ) {
      const bytes = new Uint8Array(Math.min(most, length - done));
      for (let read = 0; read < bytes.byteLength; ) {
        const n = readSync(opened, bytes, read, bytes.byteLength - read, offset + done + read);
        if (n === 0)
          throw new UserError(
            `${path} ends before ${offset + length}: the file is cut short; fetch it again`,
          );
        read += n;
      }
      done += bytes.byteLength;
      yield bytes;
    }
  } finally {
    closeSync(opened);
  }
};
