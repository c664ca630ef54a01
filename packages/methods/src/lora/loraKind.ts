import { clipTextLayers, unetLayers } from '@sdft/models';
import { type Base, constant, type Learned, type LearnedKind } from '@sdft/pipeline';
import { internal } from '@sdft/tensor';
import { changingAdapter } from './adapter.ts';
import type { Change } from './change.ts';
import { fittedShapes } from './files/fit.ts';
import { readLayer } from './files/loraFiles.ts';
import { networkDigits } from '../node/networkDigits.ts';
import { type Network, rankOf } from './files/network.ts';
import { readNetwork } from './files/readNetwork.ts';

/** Files of LoRA and its relatives, of every layout. */
export const loraKind: LearnedKind = {
  name: 'lora',
  summary: 'a trained LoRA or a relative',
  endings: ['.safetensors', '.pt', '.ckpt', '.bin'],
  tags: ['lora', 'lyco'],
  async open(file: string, base: Base): Promise<Learned> {
    const network = await readNetwork(file);
    const changes = changesIn(network, base, file);
    const adapter = changingAdapter(({ path }) => changes.get(path), undefined, {
      name: 'lora',
      at: [...changes.keys()],
      files: {
        endings: ['.safetensors'],
        save: () => Promise.reject(internal(`${file} was opened to be read`)),
        load: async (_, shapes) =>
          new Map(
            [...shapes].map(([path, wanted]) => [
              path,
              readLayer(network.layers.get(path)!, wanted, `${file}: ${path}`),
            ]),
          ),
      },
    });
    const mark = { setting: 'Lora hashes', digits: () => networkDigits(file, network.metadata) };
    return { adapter, file, text: describe(network), mark };
  },
};

/** What a file does to each layer of a base, by path. Throws UserError where it is for another kind of model. */
export function changesIn(network: Network, base: Base, file: string): ReadonlyMap<string, Change> {
  const infos = [...unetLayers(base.unet), ...clipTextLayers(base.textEncoder)];
  const layers = new Map(infos.map((info) => [info.path, info]));
  return new Map(
    [...network.layers].map(([path, learned]) => {
      const shapes = fittedShapes(path, learned, layers, { file, base, network });
      const trained = Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => [name, constant(shape, 0)]),
      );
      const { algorithm, scale, onInput, withBias } = learned;
      return [path, { algorithm, scale, trained, onInput, withBias }];
    }),
  );
}

/** `lora at 128 layers, rank 8`. */
function describe({ layers }: Network): string {
  const all = [...layers.values()];
  const names = new Set(
    all.map(({ algorithm, tensors }) =>
      'dora_scale' in tensors ? `dora (${algorithm})` : algorithm,
    ),
  );
  const ranks = new Set(all.map((layer) => rankOf(layer)).filter((rank) => rank !== undefined));
  const text = [...layers.keys()].some((path) => path.startsWith('text_encoder.'));
  return `${[...names].join(', ')} at ${all.length} ${all.length === 1 ? 'layer' : 'layers'}${ranks.size > 0 ? `, rank ${[...ranks].sort((a, b) => a - b).join(', ')}` : ''}${text ? ', text encoder too' : ''}`;
}
