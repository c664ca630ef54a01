/** @file How the modules of a hypernetwork are built, as A1111 builds them (`modules/hypernetworks/hypernetwork.py`, `HypernetworkModule`). */
import type { Parameters } from '@sdft/pipeline';
import { nearest } from '@sdft/tensor';
import { activationNames, refusedActivations } from './activations.ts';

/** A1111's names of how weights start. */
export const weightInits = [
  'Normal',
  'KaimingUniform',
  'KaimingNormal',
  'XavierUniform',
  'XavierNormal',
] as const;
export type WeightInit = (typeof weightInits)[number];

/** What all modules of a hypernetwork have in common. */
export interface Structure {
  /** Widths of the layers' inputs and of the last output, as multiples of the context's width; the first and the last are 1. */
  readonly layerStructure: readonly number[];
  /** By A1111's name; `linear` is none. */
  readonly activation: string;
  /** A LayerNorm after every layer, the last one too. */
  readonly layerNorm: boolean;
  readonly weightInit: WeightInit;
  /** The activation after the last layer, too. */
  readonly activateOutput: boolean;
  /** As long as `layerStructure`: what share of values is dropped behind the layer that ends there; the first number has no layer. */
  readonly dropoutStructure: readonly number[];
}

/** One part of the sequence `linear`. Its place there is its number in the names of the parameters. */
export type Part =
  | { readonly kind: 'linear'; readonly in: number; readonly out: number }
  | { readonly kind: 'activation'; readonly name: string }
  | { readonly kind: 'norm'; readonly width: number }
  | { readonly kind: 'dropout'; readonly p: number };

/** The parts of a module for contexts of this width, in order. Activations and dropout count as parts, `linear` does not. */
export function partsOf(structure: Structure, width: number): readonly Part[] {
  const { layerStructure, activation, layerNorm, activateOutput, dropoutStructure } = structure;
  const last = layerStructure.length - 1;
  return layerStructure.slice(1).flatMap((_, i): Part[] => {
    const [from, to] = [i, i + 1].map((at) => Math.trunc(width * layerStructure[at]!));
    const p = dropoutStructure[i + 1]!;
    const active = activation !== 'linear' && (i + 1 < last || activateOutput);
    return [
      { kind: 'linear', in: from!, out: to! },
      ...(active ? [{ kind: 'activation', name: activation } as const] : []),
      ...(layerNorm ? [{ kind: 'norm', width: to! } as const] : []),
      ...(p > 0 ? [{ kind: 'dropout', p } as const] : []),
    ];
  });
}

/** Shapes of the parameters of a part by their own names. */
export function shapesOf(part: Part): Parameters<readonly number[]> {
  switch (part.kind) {
    case 'linear':
      return { weight: [part.out, part.in], bias: [part.out] };
    case 'norm':
      return { weight: [part.width], bias: [part.width] };
    case 'activation':
      return part.name === 'prelu' ? { weight: [1] } : {};
    case 'dropout':
      return {};
  }
}

/** Shapes of all parameters of a module: `linear.0.weight`, ... */
export const moduleShapes = (parts: readonly Part[]): Parameters<readonly number[]> =>
  Object.fromEntries(
    parts.flatMap((part, i) =>
      Object.entries(shapesOf(part)).map(([name, shape]) => [`linear.${i}.${name}`, shape]),
    ),
  );

/** A structure for people: `1, 2, 1, tanh, layer norm`. */
export const structureText = ({
  layerStructure,
  activation,
  layerNorm,
  activateOutput,
  dropoutStructure,
}: Structure): string =>
  [
    layerStructure.join(', '),
    activation,
    ...(activateOutput && activation !== 'linear' ? ['activated output'] : []),
    ...(layerNorm ? ['layer norm'] : []),
    ...(dropoutStructure.some((p) => p > 0) ? [`dropout ${dropoutStructure.join(', ')}`] : []),
  ].join(', ');

/** Dropout that files of 2022 switch on without saying how much: 0.3 behind the inner layers, behind the last of them only if asked. */
export const legacyDropout = (
  length: number,
  use: boolean,
  behindLastInner: boolean,
): readonly number[] =>
  Array.from({ length }, (_, i) =>
    use && i > 0 && (i < length - 2 || (i === length - 2 && behindLastInner)) ? 0.3 : 0,
  );

/** What is wrong with a structure, one sentence each. */
export function structureProblems(structure: Structure): string[] {
  const { layerStructure, activation, weightInit, dropoutStructure } = structure;
  const problems: string[] = [];
  const shown = (numbers: readonly number[]): string => `"${numbers.join(', ')}"`;
  const [first, last] = [layerStructure[0], layerStructure.at(-1)];
  if (layerStructure.length < 2 || layerStructure.some((n) => !(n > 0) || !Number.isFinite(n)))
    problems.push(
      `layerStructure ${shown(layerStructure)}: must be two or more positive numbers, multiples of the context's width, such as "1, 2, 1"`,
    );
  else if (first !== 1 || last !== 1)
    problems.push(
      `layerStructure ${shown(layerStructure)}: must begin and end with 1, as what a module gives is added to what it takes; such as "1, 2, 1"`,
    );
  problems.push(...activationProblems(activation));
  if (!weightInits.includes(weightInit)) {
    const close = nearest(String(weightInit), weightInits);
    problems.push(
      `weightInit "${weightInit}" is unknown${close === undefined ? '' : `; did you mean ${close}?`} Known: ${weightInits.join(', ')}`,
    );
  }
  if (
    dropoutStructure.length !== layerStructure.length ||
    dropoutStructure.some((p) => !(p >= 0 && p < 1))
  )
    problems.push(
      `dropoutStructure ${shown(dropoutStructure)}: must be as many numbers as layerStructure ${shown(layerStructure)}, each at least 0 and less than 1, such as "${layerStructure.map((_, i) => (i > 0 && i < layerStructure.length - 1 ? 0.1 : 0)).join(', ')}"`,
    );
  return problems;
}

function activationProblems(activation: string): string[] {
  const refused = refusedActivations[activation];
  if (refused !== undefined) return [`activation "${activation}": ${refused}`];
  if (activationNames.includes(activation)) return [];
  const close = nearest(activation.toLowerCase(), activationNames);
  return [
    `activation "${activation}" is unknown${close === undefined ? '' : `; did you mean ${close}?`} Known: ${activationNames.join(', ')}`,
  ];
}
