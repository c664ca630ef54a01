/** @file Pictures as the autoencoder gives them back, made once. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Scope, vaeDecode, vaeEncode } from '@sdft/models';
import type { Base } from '@sdft/pipeline';
import { type Backend, hostArray, type HostArray, trace } from '@sdft/tensor';
import { type Pack, SIDE } from '../data/pack.ts';

const BATCH = 16;
const BYTES = 3 * SIDE * SIDE;

/** sRGB bytes [64,64,3] of each picture of a pack after encoding and decoding; `file` keeps them. */
export async function throughAutoencoder(
  base: Pick<Base, 'vae' | 'weights'>,
  pack: Pack,
  backend: Backend,
  file: string,
): Promise<(index: number) => Uint8Array> {
  if (!existsSync(file)) writeFileSync(file, await made(base, pack, backend));
  const bytes = readFileSync(file);
  return (index) => bytes.subarray(index * BYTES, (index + 1) * BYTES);
}

async function made(
  base: Pick<Base, 'vae' | 'weights'>,
  pack: Pack,
  backend: Backend,
): Promise<Uint8Array> {
  const graph = trace((t) => {
    const bytes = t.input('bytes', [BATCH, SIDE, SIDE, 3]);
    const pixels = bytes.div(127.5).sub(1).permute([0, 3, 1, 2]);
    const scope = new Scope(t, 'vae');
    const again = vaeDecode(scope, base.vae, vaeEncode(scope, base.vae, pixels).mean);
    return { outputs: { bytes: again.clamp(-1, 1).add(1).mul(127.5).permute([0, 2, 3, 1]) } };
  });
  const executable = await backend.compile(graph, { weights: base.weights });
  const all = new Uint8Array(pack.pictures.length * BYTES);
  for (let start = 0; start < pack.pictures.length; start += BATCH) {
    const input = new Float32Array(BATCH * BYTES);
    const count = Math.min(BATCH, pack.pictures.length - start);
    for (let i = 0; i < count; i++) input.set(pack.pixels(start + i), i * BYTES);
    const { bytes } = await executable.run({
      bytes: hostArray(input, [BATCH, SIDE, SIDE, 3]) as HostArray,
    });
    const rounded = Uint8Array.from(bytes!.data.subarray(0, count * BYTES), Math.round);
    all.set(rounded, start * BYTES);
  }
  await executable.dispose();
  return all;
}
