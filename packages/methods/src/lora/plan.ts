/** @file From settings to what happens at each layer. */
import { constant } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { product } from './algorithms/algorithm.ts';
import { algorithms } from './algorithms/algorithms.ts';
import { magnitudes } from './algorithms/dora.ts';
import { type Change, type Changes, shapesOf } from './change.ts';
import type { Dropouts } from './dropout.ts';
import type { LoraOptions } from './settings.ts';

/** Settings that are given or have a default. */
export interface Plan {
  readonly algorithm: NonNullable<LoraOptions['algorithm']>;
  readonly flavour: 'diffusers' | 'kohya';
  readonly rank: number;
  /** At layers without a kernel. */
  readonly alpha: number;
  /** Names or globs of layers, where none are given. */
  readonly targets: string;
  readonly changes: Changes;
  readonly dropouts: Dropouts;
  /** What a change is multiplied with, by the layer's path and the rank that it has there. */
  scale(path: string, rank: number | undefined): number;
}

/** Convolutions with a kernel, by diffusers' names. */
const isKernel = (path: string): boolean => /\.(conv[12]?|conv_in|conv_out)$/.test(path);

/** Throws UserError for settings that do not go together. */
export function planOf(options: Partial<LoraOptions>): Plan {
  const { algorithm = 'lora', flavour = 'diffusers', rank = 4, dora = false } = options;
  const { rsLora = false, tucker = false, factor = -1, decomposeBoth = false } = options;
  const { dropout = 0, rankDropout = 0, moduleDropout = 0 } = options;
  refuse(
    dropout > 0 && (algorithm !== 'lora' || dora),
    `dropout is for plain LoRA; with ${dora ? 'dora' : algorithm} use rankDropout or moduleDropout`,
  );
  refuse(algorithm === 'ia3' && dora, 'dora and ia3 do not go together');
  refuse(
    algorithm === 'ia3' && rankDropout > 0,
    'ia3 has no ranks to drop; use moduleDropout in place of rankDropout',
  );
  refuse(
    options.loraPlus !== undefined && algorithm !== 'lora',
    `loraPlus is for lora and its factor lora_up; ${algorithm} has none`,
  );
  const rankAt = (path: string) => (isKernel(path) ? (options.convRank ?? rank) : rank);
  const alphaAt = (path: string, rankThere: number): number => {
    const own = options.alpha ?? (flavour === 'kohya' ? 1 : rankThere);
    if (!isKernel(path)) return own;
    // kohya's own network does not carry alpha over, LyCORIS' do.
    return options.convAlpha ?? (flavour === 'kohya' && algorithm === 'lora' && !dora ? 1 : own);
  };
  const scale = (path: string, ranks: number | undefined): number =>
    ranks === undefined ? 1 : alphaAt(path, ranks) / (rsLora ? Math.sqrt(ranks) : ranks);
  const changes: Changes = (layer) => {
    if (layer.kind !== 'linear' && layer.kind !== 'conv2d') return undefined;
    const onInput = /\.(ff\.net\.2|mlp\.fc2)$/.test(layer.path);
    if (algorithm === 'ia3') {
      const numbers = constant([onInput ? layer.in : layer.out], 0);
      return { algorithm, trained: { weight: numbers }, scale: 1, onInput };
    }
    const { init, rank: ranksOf } = algorithms[algorithm];
    const asked = rankAt(layer.path);
    const start = flavour === 'kohya' ? 'kaiming' : 'gaussian';
    const trained = init(layer, { rank: asked, tucker, factor, decomposeBoth, start });
    if (algorithm !== 'lokr') refuseLargeRank(layer, asked);
    return {
      algorithm,
      trained: dora ? { ...trained, dora_scale: magnitudes(layer) } : trained,
      scale: scale(layer.path, ranksOf(shapesOf(trained))),
      ...(dora && { dora: flavour === 'kohya' ? 'whole' : 'detached' }),
    } satisfies Change;
  };
  const kohyas = options.convRank === undefined ? 'attn-mlp' : 'attn-mlp-conv';
  const targets = algorithm === 'ia3' ? 'ia3' : flavour === 'kohya' ? kohyas : 'attention';
  const place = flavour === 'kohya' ? 'inside' : 'input';
  const dropouts = { dropout, rank: rankDropout, module: moduleDropout, place } as const;
  const alpha = options.alpha ?? (flavour === 'kohya' ? 1 : rank);
  return { algorithm, flavour, rank, alpha, targets, changes, dropouts, scale };
}

/** A weight has no more ranks than its shorter side. The ends of the U-Net are as narrow as a latent, whatever the rank. */
function refuseLargeRank({ path, parameters }: Parameters<Changes>[0], rank: number): void {
  const [out, ...rest] = parameters['weight']!;
  const most = Math.min(out!, product(rest));
  refuse(
    rank > most && !/\.conv_(in|out)$/.test(path),
    `rank ${rank} is larger than the layer ${path}, whose weight [${parameters['weight']!.join(', ')}] has at most ${most}; choose a smaller rank, or other targets`,
  );
}

function refuse(wrong: boolean, why: string): void {
  if (wrong) throw new UserError(`lora: ${why}`);
}
