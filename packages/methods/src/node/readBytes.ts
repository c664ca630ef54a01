import { readFile } from 'node:fs/promises';
import { explainFileError } from '@sdft/models/node';

/** The bytes of a file. Throws UserError, naming it, where it cannot be read. */
export async function readBytes(path: string): Promise<Uint8Array> {
  return readFile(path).catch((error: unknown) => {
    throw explainFileError(path, error);
  });
}
