import { weightOf } from '@sdft/models';
import { writeSafetensors, writeTorch } from '@sdft/models/node';
import type { AdapterFiles } from '@sdft/pipeline';
import { hostArray, type HostArray, UserError } from '@sdft/tensor';
import { stemOf } from '../files/stemOf.ts';
import { wordOf } from './names.ts';
import { readEmbedding } from './readEmbedding.ts';

/**
 * Files of one new word. `.safetensors` and `.bin` are diffusers' (`{token: [vectors, width]}`), `.pt` is A1111's; all layouts are read.
 */
export function embeddingFiles(token: string): AdapterFiles {
  return {
    endings: ['.safetensors', '.bin', '.pt'],
    warning(path, { tokenizer }) {
      const stem = stemOf(path);
      if (!path.toLowerCase().endsWith('.pt') || wordOf([stem], tokenizer) === stem)
        return undefined;
      return `${path}: A1111 calls a word after its file, and ${stem} is one that everybody uses: there it will mean what was learned. sdft generate will call it <${stem}>. Another name of the file avoids this`;
    },
    async save(state, path, { step, base, force }) {
      const [parameters] = state.values();
      const vectors = parameters!['vectors']!;
      const data = Float32Array.from(vectors.data);
      const weight = weightOf('f32', vectors.shape, new Uint8Array(data.buffer));
      const extension = /\.([^./\\]+)$/.exec(path)?.[1]?.toLowerCase();
      switch (extension) {
        case 'safetensors':
          return writeSafetensors(path, new Map([[token, weight]]), {
            metadata: { format: 'pt' },
            force,
          });
        case 'bin':
          return writeTorch(path, new Map([[token, weight]]), { force });
        case 'pt':
          return writeTorch(
            path,
            new Map<string, string | number | null | Map<string, typeof weight | number>>([
              // 265 is the id of "*" in CLIP's vocabulary; A1111 writes it and reads it nowhere.
              ['string_to_token', new Map([['*', 265]])],
              ['string_to_param', new Map([['*', weight]])],
              ['name', stemOf(path)],
              ['step', step],
              ['sd_checkpoint', null],
              ['sd_checkpoint_name', stemOf(base)],
            ]),
            { force },
          );
        default:
          throw new UserError(
            `${path}: an embedding is written as .safetensors or .bin (for diffusers) or .pt (for A1111)`,
          );
      }
    },
    async load(path, shapes) {
      const [[key, parameters] = []] = shapes;
      const [vectors, width] = parameters!['vectors']! as readonly [number, number];
      const found = await readEmbedding(path);
      if (found.width !== width)
        throw new UserError(
          `${path}: its vectors are ${found.width} wide, those of this base ${width}: it was trained on another kind of model`,
        );
      if (found.vectors !== vectors)
        throw new UserError(
          `${path}: holds ${found.vectors} vectors, ${vectors} ${vectors === 1 ? 'is' : 'are'} asked for; say vectors: ${found.vectors}`,
        );
      return new Map([[key!, { vectors: hostArray(found.values, [vectors, width]) as HostArray }]]);
    },
  };
}
