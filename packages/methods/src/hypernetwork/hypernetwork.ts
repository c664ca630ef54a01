import type { Layer as LayerInfo } from '@sdft/models';
import type { Adapter, Method, Preset } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { denoise, type DenoiseOptions } from '../objectives/denoise.ts';
import { hypernetworkAdapter, type Modules } from './adapter.ts';
import { hypernetworkFiles } from './hypernetworkFiles.ts';
import { settingsSchema } from './settings.ts';
import { type Structure, structureProblems, type WeightInit } from './structure.ts';

export interface HypernetworkOptions extends DenoiseOptions {
  /** Widths inside a module as multiples of the context's, as numbers or a text of them; the first and the last are 1. Default `1, 2, 1`. */
  readonly layerStructure?: string | readonly number[] | undefined;
  /** Between the layers, by A1111's name; `swish` is Hardswish. Default `linear`: none. */
  readonly activation?: string | undefined;
  /** A LayerNorm after every layer. Default false. */
  readonly layerNorm?: boolean | undefined;
  /** The activation after the last layer, too. Default false. */
  readonly activateOutput?: boolean | undefined;
  /** What share of values is dropped behind each layer while training; as many numbers as `layerStructure` has. Default: none. */
  readonly dropoutStructure?: string | readonly number[] | undefined;
  /** How weights start; biases start at 0, weights of a LayerNorm always as `Normal`. Default `Normal`: standard deviation 0.01. */
  readonly weightInit?: WeightInit | undefined;
  /** Widths of the contexts that get modules: that of the text, and those of self-attention. Default: all that the base has. */
  readonly sizes?: string | readonly number[] | undefined;
  /** `width`: the layers over contexts of one width share their modules, as in A1111. `layer`: each has its own; A1111 has no file for that. Default `width`. */
  readonly modules?: Modules | undefined;
  /**
   * Restrains the modules of the shallow layers, which overfit first (NovelAI 2022): adds this times the mean of (1 - depth) mean(h(x)^2) over the layers to the loss,
   * h(x) being what a module adds and depth 0 at both ends of the U-Net, 1 in its middle. Needs `modules: 'layer'`. Default 0: none.
   */
  readonly shallowPenalty?: number | undefined;
  /**
   * Writes AdamW's state beside a `.pt` as A1111 does (`NAME.pt.optim`), and goes on from the one that lies beside `initFrom`, at the step where it ended. Default false.
   */
  readonly optimizerState?: boolean | undefined;
}

/**
 * A hypernetwork as AUTOMATIC1111 trains it (`modules/hypernetworks/hypernetwork.py`): small networks change what keys and values of every attention are made of, and
 * are all that is trained. Two for each width of context, one for keys and one for values, shared by all layers of that width; or, as no other tool has
 * it, one for each layer.
 *
 * An adapter, and a method with the objective `denoise`.
 *
 * @throws UserError for settings out of range
 */
export function hypernetwork(options: HypernetworkOptions = {}): Adapter & Method {
  const [problem] = hypernetworkProblems(options);
  if (problem !== undefined) throw new UserError(`hypernetwork: ${problem}`);
  const structure = structureOf(options);
  const { modules = 'width', shallowPenalty, optimizerState } = options;
  const settings = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  );
  const adapter = hypernetworkAdapter({
    structure,
    modules,
    shallowPenalty,
    pick: (layers) => ofWidths(layers, numbersOf(options.sizes)),
    files: hypernetworkFiles(structure, {
      ...{ modules, optimizerState },
      everywhere: options.sizes === undefined,
    }),
    options: settings,
  });
  return {
    ...adapter,
    options: settings,
    adapters: [adapter],
    objective: denoise(options),
    preset: hypernetworkPreset,
  };
}

function structureOf(options: HypernetworkOptions): Structure {
  const layerStructure = numbersOf(options.layerStructure) ?? [1, 2, 1];
  return {
    layerStructure,
    activation: options.activation ?? 'linear',
    layerNorm: options.layerNorm ?? false,
    weightInit: options.weightInit ?? 'Normal',
    activateOutput: options.activateOutput ?? false,
    dropoutStructure: numbersOf(options.dropoutStructure) ?? layerStructure.map(() => 0),
  };
}

/** What is wrong with settings, one sentence each. */
export function hypernetworkProblems(options: HypernetworkOptions): string[] {
  const problems = structureProblems(structureOf(options));
  const [dropoutStructure, sizes] = [options.dropoutStructure, options.sizes].map(numbersOf);
  if (dropoutStructure && (dropoutStructure[0] !== 0 || dropoutStructure.at(-1) !== 0))
    problems.push(
      `dropoutStructure "${dropoutStructure.join(', ')}": must begin and end with 0, as nothing is dropped of what goes in and what comes out`,
    );
  if (sizes?.some((size) => !Number.isInteger(size) || size < 1))
    problems.push(`sizes "${sizes.join(', ')}": must be whole numbers, such as "768, 320"`);
  const { modules = 'width', shallowPenalty = 0, optimizerState = false } = options;
  if (optimizerState && modules === 'layer')
    problems.push(
      "optimizerState lies beside A1111's .pt, which has no place for modules of single layers: leave it out, or say modules: width",
    );
  if (!(shallowPenalty >= 0) || !Number.isFinite(shallowPenalty))
    problems.push(`shallowPenalty must be a number, 0 or more, got ${shallowPenalty}`);
  if (shallowPenalty > 0 && modules === 'width')
    problems.push(
      'shallowPenalty restrains single layers, which must have modules of their own: say modules: layer',
    );
  return problems;
}

/** A list of numbers as it is, or out of a text. What is no number is NaN. */
function numbersOf(value: string | readonly number[] | undefined): readonly number[] | undefined {
  if (typeof value !== 'string') return value;
  return value.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
}

function ofWidths(
  layers: readonly LayerInfo[],
  sizes: readonly number[] | undefined,
): readonly LayerInfo[] {
  const known = [...new Set(layers.map((layer) => layer.in))].sort((a, b) => a - b);
  const unknown = sizes?.filter((size) => !known.includes(size)) ?? [];
  if (unknown.length > 0)
    throw new UserError(
      `sizes: the attention of this base has no contexts of width ${unknown.join(', ')}; it has ${known.join(', ')}`,
    );
  return layers.filter((layer) => sizes?.includes(layer.in) ?? true);
}

/** Hypernetworks as recipes and the command line know them. */
export const hypernetworkPreset: Preset<typeof settingsSchema> = {
  name: 'hypernetwork',
  summary: 'train small networks that change what attention makes keys and values of',
  schema: settingsSchema,
  flavours: ['a1111'],
  // A1111's; but its 100,000 steps are a ceiling, at which nobody waits.
  defaults: () => ({ optimizer: { name: 'adamw', lr: 1e-5, weightDecay: 0.01 }, steps: 10_000 }),
  problems: hypernetworkProblems,
  assemble: hypernetwork,
  example:
    '--base nano --images photos/boy --activation swish --weight-init KaimingNormal --lr 5e-5 --steps 1000 --out boy.pt',
};
