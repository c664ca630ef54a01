import { statSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { convertNetwork, isNetworkKey, readEmbedding, textualInversion } from '@sdft/methods';
import { inspectFile, openCheckpoint, writeDiffusersFolder, writeLdmFile } from '@sdft/models/node';
import { UserError, valueOf } from '@sdft/tensor';
import type { ConvertFlags } from '../commands/convert.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { basePath, readingOf } from '../options/base.ts';
import { Output } from '../terminal/output.ts';

type Format = NonNullable<ConvertFlags['format']>;

/** Writes `from` as `to`, in another layout. Throws UserError. */
export async function convert(from: string, to: string, flags: ConvertFlags): Promise<void> {
  const output = new Output(flags.json ?? false);
  const kind = /\.(safetensors|ckpt|pt|bin)$/i.test(to) ? 'file' : 'folder';
  checkTarget('<out>', to, flags.force ?? false, kind);
  const path = await basePath(from);
  const what = await kindOf(path);
  const format = formats[what](to, flags);
  if (what === 'checkpoint') await convertCheckpoint(path, to, format, flags, output);
  else if (what === 'embedding') await convertEmbedding(path, to, flags);
  else await convertNetwork(path, to, { ...flags, format: format as 'kohya' | 'peft' });
  output.print(`${to}: ${what} in ${format} layout`);
  output.record({ in: from, out: to, what, format });
}

async function kindOf(path: string): Promise<'checkpoint' | 'embedding' | 'LoRA'> {
  if (statSync(path).isDirectory()) return 'checkpoint';
  const names = Object.keys((await inspectFile(path)).tensors);
  if (names.some((name) => name.startsWith('model.diffusion_model.'))) return 'checkpoint';
  return names.some(isNetworkKey) ? 'LoRA' : 'embedding';
}

const formats = {
  checkpoint: checkpointFormat,
  embedding: embeddingFormat,
  LoRA: networkFormat,
} as const;

function checkpointFormat(to: string, { format, token }: ConvertFlags): Format {
  const isFile = /\.(safetensors|ckpt)$/i.test(to);
  if (token !== undefined) throw new UserError('--token is for embeddings; this is a checkpoint');
  if (format === 'a1111' || format === 'kohya' || format === 'peft')
    throw new UserError(
      `--format ${format} is for ${format === 'a1111' ? 'embeddings' : 'LoRA'}; a checkpoint is ldm or diffusers`,
    );
  if (/\.(pt|pth|bin|gguf|onnx)$/i.test(to))
    throw new UserError(
      `${to}: a checkpoint is written as one .safetensors or .ckpt file (ldm) or as a folder (diffusers)`,
    );
  if ((format === 'ldm') !== isFile && format !== undefined)
    throw new UserError(
      `${to}: a checkpoint in ldm layout is one .safetensors or .ckpt file, in diffusers layout a folder`,
    );
  return isFile ? 'ldm' : 'diffusers';
}

async function convertCheckpoint(
  path: string,
  to: string,
  format: Format,
  flags: ConvertFlags,
  output: Output,
): Promise<void> {
  const { dtype, force = false } = flags;
  const checkpoint = await openCheckpoint(path, readingOf(flags));
  for (const note of checkpoint.notes) output.note(note);
  const options = { force, ...(dtype && { dtype }) };
  if (format === 'diffusers') await writeDiffusersFolder(to, checkpoint, options);
  else for (const file of await writeLdmFile(to, checkpoint, options)) output.note(`wrote ${file}`);
}

function networkFormat(to: string, { format, token }: ConvertFlags): Format {
  if (token !== undefined) throw new UserError('--token is for embeddings; this is a LoRA');
  if (format !== 'kohya' && format !== 'peft' && format !== 'diffusers')
    throw new UserError(
      `${to}: say which layout the LoRA gets: --format kohya (for A1111 and its relatives), peft or diffusers`,
    );
  return format;
}

const embeddingFormats: Readonly<Record<string, Format>> = {
  '.pt': 'a1111',
  '.safetensors': 'diffusers',
  '.bin': 'diffusers',
};

function embeddingFormat(to: string, { format, dtype }: ConvertFlags): Format {
  const implied = embeddingFormats[extname(to).toLowerCase()];
  if (dtype !== undefined) throw new UserError('--dtype is for checkpoints; embeddings are f32');
  if (implied === undefined || (format !== undefined && format !== implied))
    throw new UserError(
      `${to}: an embedding is written as .pt (a1111), .safetensors or .bin (diffusers)`,
    );
  return implied;
}

async function convertEmbedding(path: string, to: string, flags: ConvertFlags): Promise<void> {
  const { name, vectors, width } = await readEmbedding(path);
  const token = flags.token ?? name ?? basename(path, extname(path));
  const { files } = textualInversion({ token, vectors });
  const loaded = await files!.load(path, new Map([['', { vectors: [vectors, width] }]]));
  const state = new Map([['', { vectors: valueOf(loaded.get('')!['vectors']!) }]]);
  await files!.save(state, to, { step: 0, base: '', force: flags.force ?? false });
}
