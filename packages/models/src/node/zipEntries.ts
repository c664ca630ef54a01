import { UserError } from '@sdft/tensor';
import { type Entry, open, type ZipFile } from 'yauzl';
import type { ByteSource } from '../checkpoint/byteSource.ts';

/** Where the bytes of a file inside a zip lie. */
export interface ZipEntry {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** A Stable Diffusion checkpoint with its optimizer has some 5,000. */
const maxEntries = 200_000;

/**
 * Lists the files of a zip archive that PyTorch saved: all of them stored as they are, `data.pkl` among them.
 *
 * @throws UserError where the archive is broken, compressed or encrypted, or holds a name twice
 */
export async function readZipEntries(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const found = new Map<string, ZipEntry>();
  const entries = await listEntries(source.name);
  if (!entries.some(({ fileName }) => /^([^/]+\/)?data\.pkl$/.test(fileName))) {
    throw new UserError(
      `${source.name}: is a zip archive without data.pkl, not a file that PyTorch saved`,
    );
  }
  for (const entry of entries) {
    const broken = (why: string): UserError =>
      new UserError(`${source.name}: not a whole PyTorch file: ${entry.fileName} in it ${why}`);
    if (found.has(entry.fileName)) throw broken('comes twice');
    if (entry.isEncrypted()) throw broken('is encrypted');
    if (entry.compressionMethod !== 0)
      throw broken(
        'is compressed, which PyTorch never does; unpack the archive and save it again with PyTorch',
      );
    if (entry.compressedSize !== entry.uncompressedSize) throw broken('has two lengths');
    // The length of a local header is only in the header itself (APPNOTE.TXT 4.3.7).
    const header = entry.relativeOffsetOfLocalHeader;
    if (header + 30 > source.size)
      throw broken('begins beyond the end of the file; is it a download that was cut?');
    const local = new DataView(Uint8Array.from(source.read(header, 30)).buffer);
    if (local.getUint32(0, true) !== 0x04034b50) throw broken('has no header');
    const offset = header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    if (offset + entry.uncompressedSize > source.size)
      throw broken('ends beyond the end of the file; is it a download that was cut?');
    found.set(entry.fileName, { name: entry.fileName, offset, length: entry.uncompressedSize });
  }
  return found;
}

async function listEntries(path: string): Promise<Entry[]> {
  const broken = (why: string): UserError =>
    new UserError(`${path}: not a whole PyTorch file: ${why}; is it a download that was cut?`);
  const zip = await new Promise<ZipFile>((resolve, reject) => {
    open(path, { lazyEntries: true, autoClose: false }, (error, file) =>
      error ? reject(broken(error.message)) : resolve(file),
    );
  });
  try {
    if (zip.entryCount > maxEntries) throw broken(`${zip.entryCount} files in one archive`);
    return await new Promise<Entry[]>((resolve, reject) => {
      const entries: Entry[] = [];
      zip.on('error', (error: Error) => reject(broken(error.message)));
      zip.on('end', () => resolve(entries));
      zip.on('entry', (entry: Entry) => {
        entries.push(entry);
        zip.readEntry();
      });
      zip.readEntry();
    });
  } finally {
    zip.close();
  }
}
