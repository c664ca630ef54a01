/** @file What A1111's files say beside the modules (`hypernetwork.py`, `Hypernetwork.save` and `load`). */
import { Float, type PythonValue } from '@sdft/models';
import { UserError } from '@sdft/tensor';
import { legacyDropout, type Structure, structureProblems, type WeightInit } from './structure.ts';

/** Entries of a file by name. */
export type Entries = ReadonlyMap<string, PythonValue>;

/** How the modules of a file are built. Throws UserError, naming the file, where that cannot be. */
export function structureIn(entries: Entries, where: string): Structure {
  const layerStructure = numbersIn(entries, 'layer_structure', where) ?? [1, 2, 1];
  const structure: Structure = {
    layerStructure,
    activation: textIn(entries, 'activation_func') ?? 'linear',
    layerNorm: entries.get('is_layer_norm') === true,
    weightInit: (textIn(entries, 'weight_initialization') ?? 'Normal') as WeightInit,
    // What A1111 takes for files that do not say; it matters with an activation only.
    activateOutput: entries.get('activate_output') !== false,
    dropoutStructure:
      numbersIn(entries, 'dropout_structure', where) ??
      legacyDropout(
        layerStructure.length,
        entries.get('use_dropout') === true,
        entries.get('last_layer_dropout') === true,
      ),
  };
  const [problem] = structureProblems(structure);
  if (problem !== undefined) throw new UserError(`${where}: ${problem}`);
  return structure;
}

/** Name and steps. */
export function descriptionIn(entries: Entries): {
  readonly name: string | undefined;
  readonly step: number;
} {
  const step = entries.get('step');
  return {
    name: textIn(entries, 'name'),
    step: typeof step === 'number' && Number.isInteger(step) && step >= 0 ? step : 0,
  };
}

/** All that A1111 writes, in its order. */
export function entriesOf(
  {
    layerStructure,
    activation,
    layerNorm,
    weightInit,
    activateOutput,
    dropoutStructure,
  }: Structure,
  { step, name, base }: { readonly step: number; readonly name: string; readonly base: string },
): [string, PythonValue][] {
  const dropout = dropoutStructure.some((p) => p > 0);
  return [
    ['step', step],
    ['name', name],
    ['layer_structure', layerStructure.map((n) => new Float(n))],
    ['activation_func', activation],
    ['is_layer_norm', layerNorm],
    ['weight_initialization', weightInit],
    ['sd_checkpoint', null],
    ['sd_checkpoint_name', base],
    ['activate_output', activateOutput],
    ['use_dropout', dropout],
    ['dropout_structure', dropoutStructure.map((p) => (dropout ? new Float(p) : p))],
    ['last_layer_dropout', dropoutStructure.at(-2) !== 0],
    ['optional_info', null],
  ];
}

const textIn = (entries: Entries, name: string): string | undefined => {
  const value = entries.get(name);
  return typeof value === 'string' ? value : undefined;
};

function numbersIn(entries: Entries, name: string, where: string): number[] | undefined {
  const value = entries.get(name) ?? undefined;
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((item) => typeof item === 'number')) return [...value];
  throw new UserError(`${where}: ${name} is no list of numbers`);
}
