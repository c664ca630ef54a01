import { UserError } from '@sdft/tensor';
import { type Entry, fromRandomAccessReader, RandomAccessReader } from 'yauzl';
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
  const entries = await listEntries(source);
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

async function listEntries(source: ByteSource): Promise<Entry[]> {
  const broken = (why: string): UserError =>
    new UserError(
      `${source.name}: not a whole PyTorch file: ${why}; is it a download that was cut?`,
    );
  return await new Promise<Entry[]>((resolve, reject) => {
    const refuse = (error: Error): void => reject(broken(error.message));
    const reader = new SourceReader(source, refuse);
    fromRandomAccessReader(
      reader,
      source.size,
      { lazyEntries: true, autoClose: false },
      (error, zip) => {
        if (error) return refuse(error);
        if (zip.entryCount > maxEntries)
          return refuse(new Error(`${zip.entryCount} files in one archive`));
        const entries: Entry[] = [];
        zip.on('error', refuse);
        zip.on('end', () => resolve(entries));
        zip.on('entry', (entry: Entry) => {
          entries.push(entry);
          zip.readEntry();
        });
        zip.readEntry();
      },
    );
  });
}

/**
 * Gives yauzl its bytes. Its own reader hands places out of a damaged file to the system unchecked, and what that throws nobody can catch.
 */
class SourceReader extends RandomAccessReader {
  readonly #source: ByteSource;
  readonly #refuse: (error: Error) => void;
  #window: Uint8Array = new Uint8Array(0);
  #start = 0;

  constructor(source: ByteSource, refuse: (error: Error) => void) {
    super();
    this.#source = source;
    this.#refuse = refuse;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, count?: number) => void,
  ): void {
    process.nextTick(() => {
      try {
        if (position + length > this.#source.size) {
          callback(new Error('it points beyond its end'));
          return;
        }
        buffer.set(this.#bytes(position, length), offset);
        callback(null, length);
      } catch (error) {
        this.#refuse(error as Error);
      }
    });
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }

  /** The list of files is read in small steps, one after the other. */
  #bytes(position: number, length: number): Uint8Array {
    const from = position - this.#start;
    if (from < 0 || from + length > this.#window.length) {
      this.#start = position;
      this.#window = this.#source.read(
        position,
        Math.min(this.#source.size - position, Math.max(length, 65_536)),
      );
      return this.#window.subarray(0, length);
    }
    return this.#window.subarray(from, from + length);
  }
}
