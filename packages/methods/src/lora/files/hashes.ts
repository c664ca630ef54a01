/** @file Hashes by which interfaces for kohya's files recognise a network. */
import type { Weight } from '@sdft/tensor';
import { layOut } from '@sdft/models';

/**
 * `sshs_model_hash`, the sha256 of all that follows the header, and `sshs_legacy_hash`, the first 8 digits of that of 64 KiB from byte 1 MiB on. Both are those of a file with no
 * other metadata than `ss_`. Source: kohya-ss/sd-scripts `library/train_util.py`, `precalculate_safetensors_hashes`.
 */
export async function networkHashes(
  tensors: ReadonlyMap<string, Weight>,
  metadata: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const training = Object.fromEntries(
    Object.entries(metadata).filter(([name]) => name.startsWith('ss_')),
  );
  const { head, order, size } = layOut(tensors, training);
  const file = new Uint8Array(size);
  file.set(head);
  let at = head.length;
  for (const name of order) {
    const bytes = tensors.get(name)!.read();
    file.set(bytes, at);
    at += bytes.length;
  }
  return {
    sshs_model_hash: await sha256(file.subarray(head.length)),
    sshs_legacy_hash: (await sha256(file.subarray(0x100000, 0x110000))).slice(0, 8),
  };
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
