import { UserError, type Weight } from '@sdft/tensor';
import { Inert, isWeight, keyText, type PythonValue } from './pythonValue.ts';

/**
 * The weights of a PyTorch file: what is under `state_dict`, or the whole file where there is none. Numbers and texts between them are
 * passed over.
 *
 * @throws UserError where the file is no dict, or where a weight would have to be computed by running a function
 */
export function stateDictOf(value: PythonValue, where: string): Map<string, Weight> {
  const inner = value instanceof Map ? value.get('state_dict') : undefined;
  const dict = inner instanceof Map || inner instanceof Inert ? inner : value;
  const entries = dict instanceof Inert ? dict.entries : dict;
  if (!(entries instanceof Map)) throw new UserError(`${where}: holds no dict of tensors`);
  const tensors = new Map<string, Weight>();
  for (const [key, entry] of entries) {
    if (isWeight(entry)) tensors.set(keyText(key), entry);
    else if (entry instanceof Inert && entry.args !== undefined) {
      throw new UserError(
        `${where}: ${keyText(key)} is no tensor but the result of calling ${entry.name}, which is never called here; save the file again with plain tensors`,
      );
    }
  }
  return tensors;
}

/** Bounds of a walk through nested values, which can refer to one another many times over. */
const limits = { depth: 32, visits: 1_000_000 };

/**
 * Every tensor in a PyTorch file, under the keys and indices that lead to it, joined by dots; `state_dict.` is left out. Tuples and lists count from 0.
 *
 * @throws UserError where the file is nested beyond all use
 */
export function allTensors(value: PythonValue, where: string): Map<string, Weight> {
  const found = new Map<string, Weight>();
  let visits = 0;
  const walk = (value: PythonValue, path: readonly string[]): void => {
    if (++visits > limits.visits)
      throw new UserError(`${where}: nested beyond all use: over ${limits.visits} values`);
    if (isWeight(value)) found.set(path.join('.'), value);
    else if (path.length >= limits.depth) return;
    else if (value instanceof Map)
      value.forEach((item, key) => walk(item, [...path, keyText(key)]));
    else if (value instanceof Inert) {
      walk(value.entries, path);
      walk(value.items, path);
      // A ParameterDict of PyTorch 1 keeps its content in this attribute.
      const inner = value.state instanceof Map ? value.state.get('_parameters') : undefined;
      walk(inner ?? value.state, path);
    } else if (Array.isArray(value)) value.forEach((item, i) => walk(item, [...path, String(i)]));
  };
  const { inside, rest } = split(value);
  walk(inside, []);
  if (rest) walk(rest, []);
  return found;
}

/**
 * The numbers and short texts at the top of a PyTorch file (epoch, step, name, ...), as JSON can hold them.
 */
export function plainEntries(value: PythonValue): Record<string, string | number | boolean | null> {
  const plain: Record<string, string | number | boolean | null> = {};
  if (!(value instanceof Map)) return plain;
  for (const [key, entry] of value) {
    if (entry === null || ['number', 'boolean'].includes(typeof entry))
      plain[keyText(key)] = entry as number | boolean | null;
    else if (typeof entry === 'bigint') plain[keyText(key)] = String(entry);
    else if (typeof entry === 'string') plain[keyText(key)] = entry.slice(0, 10_000);
  }
  return plain;
}

function split(value: PythonValue): { inside: PythonValue; rest?: PythonValue } {
  const inside = value instanceof Map ? value.get('state_dict') : undefined;
  if (!(value instanceof Map) || inside === undefined) return { inside: value };
  return { inside, rest: new Map([...value].filter(([key]) => key !== 'state_dict')) };
}
