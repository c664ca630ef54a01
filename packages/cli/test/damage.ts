/** @file Damaged copies of the small golden model. */
import {
  closeSync,
  cpSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { goldens } from './sdft.ts';
import { floats, tensor, write } from './tensors.ts';

const UNET = 'unet/diffusion_pytorch_model.safetensors';

/** A whole copy of the model, at `path`. */
export function copyOfModel(path: string): string {
  cpSync(goldens('tiny-sd'), path, { recursive: true });
  return path;
}

/** Its U-Net's file ends too early. Returns that file. */
export function truncated(path: string): string {
  const file = join(copyOfModel(path), UNET);
  truncateSync(file, 100_000);
  return file;
}

/** A weight holds a NaN. */
export function withNaN(path: string, name: string): string {
  const file = join(copyOfModel(path), UNET);
  const place = tensor(file, name).file!;
  const handle = openSync(file, 'r+');
  writeSync(handle, new Uint8Array(Float32Array.of(Number.NaN).buffer), 0, 4, place.offset + 8);
  closeSync(handle);
  return path;
}

/** A weight has another shape than the configuration says. */
export async function misshapen(path: string, name: string): Promise<string> {
  const file = join(copyOfModel(path), UNET);
  const tensors = Object.fromEntries(openSafetensors(file).tensors);
  for (const [key, weight] of Object.entries(tensors))
    tensors[key] = {
      ...weight,
      read: (
        (bytes) => () =>
          bytes
      )(weight.read()),
    };
  await write(file, { ...tensors, [name]: floats([1, 2, 3], [3]) });
  return path;
}

/** A part of the configuration is changed. */
export function withConfig(path: string, name: string, change: Record<string, unknown>): string {
  const file = join(copyOfModel(path), name);
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...config, ...change }));
  return path;
}
