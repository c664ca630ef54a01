/** @file What a compiled graph asks of its caller, by name, and whether what it is given fits. Every backend refuses with these words. */
import type { HostArray, HostData, StateValue } from '../backend.ts';
import { UserError } from '../errors.ts';
import { type Graph, type Shape, sameShape, showShape, type TensorType } from '../graph/types.ts';
import { needed } from '../graph/walk.ts';
import type { Weight } from '../weight.ts';
import { hostData } from './array.ts';
import { nearest } from './nearest.ts';
import { valueOf } from './valueOf.ts';

export interface Signature {
  /** Given at every call. */
  readonly inputs: ReadonlyMap<string, TensorType>;
  /** Living in the executable. */
  readonly states: ReadonlyMap<string, TensorType>;
  readonly weights: ReadonlyMap<string, Shape>;
}

/** The inputs and states of a graph, needed or not, and the weights that it needs. */
export function signatureOf(graph: Graph): Signature {
  const live = needed(graph);
  const inputs = new Map<string, TensorType>();
  const states = new Map<string, TensorType>();
  const weights = new Map<string, Shape>();
  graph.nodes.forEach((node, id) => {
    if (node.op === 'input')
      (node.attrs.state ? states : inputs).set(node.attrs.name, node.attrs.type);
    if (node.op === 'weight' && live[id]) weights.set(node.attrs.name, node.shape);
  });
  return { inputs, states, weights };
}

const unknown = (what: string, name: string, known: ReadonlyMap<string, unknown>): UserError => {
  const close = nearest(name, known.keys());
  return new UserError(
    `the graph has no ${what} called ${name}${close === undefined ? `; it has no ${what}s at all` : `; did you mean ${close}?`}`,
  );
};

/** The inputs of a call, row-major. Throws UserError, naming the input, if one is missing, unknown, or of another shape or element type. */
export function takeInputs(
  { inputs }: Signature,
  given: Readonly<Record<string, HostArray>>,
): Map<string, HostData> {
  for (const name of Object.keys(given))
    if (!inputs.has(name)) throw unknown('input', name, inputs);
  return new Map(
    [...inputs].map(([name, type]) => {
      const value = given[name];
      if (!value)
        throw new UserError(`input ${name} (${type.dtype} ${showShape(type.shape)}) is missing`);
      return [name, hostData(value, type, `input ${name}`)];
    }),
  );
}

/** The value for a state, row-major. Throws UserError, naming the state, if there is none of that name or shape and type differ. */
export function takeState({ states }: Signature, name: string, value: HostArray): HostData {
  return hostData(value, typeOfState({ states }, name), `state ${name}`);
}

/** First values by state, each asked for when its turn comes. Throws UserError if the graph has no such state. */
export function* takeStates(
  signature: Pick<Signature, 'states'>,
  given: Readonly<Record<string, StateValue>>,
): Generator<readonly [name: string, type: TensorType, value: () => HostArray]> {
  for (const [name, value] of Object.entries(given))
    yield [name, typeOfState(signature, name), () => valueOf(value)];
}

/** Throws UserError if the graph has no such state. */
export function typeOfState({ states }: Pick<Signature, 'states'>, name: string): TensorType {
  const type = states.get(name);
  if (!type) throw unknown('state', name, states);
  return type;
}

/** The weights that the graph needs. Throws UserError, naming the tensor, if one is missing or has another shape. */
export function takeWeights(
  { weights }: Signature,
  given: ReadonlyMap<string, Weight>,
): Map<string, Weight> {
  return new Map(
    [...weights].map(([name, shape]) => {
      const weight = given.get(name);
      if (!weight) {
        const close = nearest(name, given.keys());
        throw new UserError(
          `there is no weight ${name} ${showShape(shape)}${close === undefined ? '' : `; the nearest name is ${close}`}`,
        );
      }
      if (!sameShape(weight.shape, shape))
        throw new UserError(
          `the weight ${name} is ${showShape(weight.shape)}, the graph needs ${showShape(shape)}`,
        );
      return [name, weight];
    }),
  );
}
