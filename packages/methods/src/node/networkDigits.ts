import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { hashFile } from '@sdft/models/node';

/**
 * The digits by which A1111 calls a network: the first 12 of `sshs_model_hash`, else of the sha256 of what follows a safetensors file's header, else of the whole file. Source:
 * A1111 `extensions-builtin/Lora/network.py`, `NetworkOnDisk`, and `modules/hashes.py`, `addnet_hash_safetensors`.
 */
export async function networkDigits(
  file: string,
  metadata: Readonly<Record<string, string>>,
): Promise<string> {
  const said = metadata['sshs_model_hash'];
  if (said) return said.slice(0, 12);
  if (!/\.safetensors$/i.test(file)) return (await hashFile(file)).sha256.slice(0, 12);
  const handle = await open(file);
  const head = new BigUint64Array(1);
  await handle.read(new Uint8Array(head.buffer), 0, 8, 0);
  await handle.close();
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, {
    start: 8 + Number(head[0]!),
  }) as AsyncIterable<Buffer>)
    hash.update(chunk);
  return hash.digest('hex').slice(0, 12);
}
