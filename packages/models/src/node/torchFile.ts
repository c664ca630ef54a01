import { UserError } from '@sdft/tensor';
import type { ByteSource } from '../checkpoint/byteSource.ts';
import { readPickle, RefusedPickle } from '../checkpoint/pickle.ts';
import { isTorchLegacy, readTorchLegacy, type TorchFile } from '../checkpoint/torchLegacy.ts';
import { torchContext } from '../checkpoint/torchTensors.ts';
import { fileSource } from './fileSource.ts';
import { readZipEntries } from './zipEntries.ts';

/**
 * Opens a file that PyTorch saved (.ckpt, .pt, .bin), in its zip format or the one before 1.6. Nothing in it is executed: what only Python
 * could make is kept as a description. Tensors are read when asked for.
 *
 * @throws UserError where the file is malformed, cut short, no PyTorch file, or names a function that runs programs or code
 */
export async function openTorch(path: string): Promise<TorchFile> {
  const source = fileSource(path);
  switch (torchFormat(source)) {
    case 'torch-zip':
      return await readTorchZip(source);
    case 'torch-legacy':
      return readTorchLegacy(source);
    case undefined:
      throw notTorch(source);
  }
}

/** Which of PyTorch's formats a file is in, by its first bytes. */
export function torchFormat(source: ByteSource): 'torch-zip' | 'torch-legacy' | undefined {
  const head = source.read(0, Math.min(4, source.size));
  if (head[0] === 0x50 && head[1] === 0x4b && head[2] === 0x03 && head[3] === 0x04)
    return 'torch-zip';
  return isTorchLegacy(source) ? 'torch-legacy' : undefined;
}

async function readTorchZip(source: ByteSource): Promise<TorchFile> {
  const where = source.name;
  const broken = (why: string): UserError =>
    new UserError(`${where}: not a whole PyTorch file: ${why}`);
  const entries = await readZipEntries(source);
  const pickles = [...entries.keys()].filter((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1) {
    throw broken(`${pickles.length} files in it are called data.pkl`);
  }
  const root = pickle.slice(0, -'data.pkl'.length);
  if (entries.has(`${root}constants.pkl`)) {
    throw new UserError(
      `${where}: is a TorchScript program, not a checkpoint; save its state_dict with PyTorch`,
    );
  }
  const order = entries.get(`${root}byteorder`);
  if (
    order &&
    new TextDecoder().decode(source.read(order.offset, Math.min(order.length, 16))) !== 'little'
  ) {
    throw broken('it was written on a big-endian machine, which is not supported');
  }
  const names = new Set<string>();
  const { offset, length } = entries.get(pickle)!;
  const { value } = readPickle(source, offset, length, {
    ...torchContext(where, (key) => {
      const entry = entries.get(`${root}data/${key}`);
      if (!entry) throw broken(`storage data/${key} is missing`);
      return { source, offset: entry.offset, length: entry.length };
    }),
    named: (name) => names.add(name),
  });
  return { value, names: [...names] };
}

function notTorch(source: ByteSource): UserError {
  const head = source.read(0, Math.min(512, source.size));
  const text = new TextDecoder('latin1').decode(head);
  if (text.startsWith('version https://git-lfs')) {
    return new UserError(
      `${source.name}: is a git-lfs pointer, not the file it stands for; run \`git lfs pull\` where you got it`,
    );
  }
  if (/^\s*<(!doctype|html)/i.test(text)) {
    return new UserError(`${source.name}: is a web page, not a model; download the file itself`);
  }
  if (text.slice(257, 262) === 'ustar') {
    return new UserError(
      `${source.name}: is in PyTorch's format of 2016, which is not supported; load and save it with a newer PyTorch`,
    );
  }
  try {
    readPickle(source, 0, source.size, { persistent: () => null });
  } catch (error) {
    // A bare pickle is no PyTorch file, but an attack in it deserves its own message.
    if (error instanceof RefusedPickle) return error;
  }
  return new UserError(`${source.name}: is neither safetensors nor a file that PyTorch saved`);
}
