/** @file The reference backend: every graph as the rules say, in double precision, slowly. */
import type { Backend, CompileOptions, Executable, HostArray } from '../../backend.ts';
import { UserError } from '../../errors.ts';
import { planMemory } from '../../graph/plan.ts';
import { bytesOf } from '../../graph/rules.ts';
import type { Graph, TensorType } from '../../graph/types.ts';
import { expandComposites } from '../../graph/walk.ts';
import { hostArray, hostDataOf } from '../../host/array.ts';
import { widen } from '../../host/fromWeight.ts';
import { checkRowNumbers, rowNumbersOf } from '../../host/rowNumbers.ts';
import {
  signatureOf,
  takeInputs,
  takeState,
  takeStates,
  takeWeights,
  typeOfState,
} from '../../host/signature.ts';
import { interpret } from './interpret.ts';
import { make, type Value } from './rules.ts';
import type { Data } from './strided.ts';

/**
 * The executable specification: f32 tensors and states are double precision inside and rounded only where they leave. It spells composites out, optimizes nothing,
 * and computes on the calling thread.
 */
export const reference: Backend = {
  name: 'reference',
  compile: async (graph, options = {}) => compileReference(graph, options),
};

const toDouble = (data: ArrayLike<number>, type: TensorType): Data => {
  const double = make(type);
  double.set(data);
  return double;
};
const toHost = ({ data, shape, dtype }: Value): HostArray => {
  const rounded = hostDataOf({ shape, dtype });
  rounded.set(data);
  return hostArray(rounded, shape) as HostArray;
};

function compileReference(
  graph: Graph,
  { weights = new Map(), state = {} }: CompileOptions,
): Executable {
  const spelled = expandComposites(graph);
  const signature = signatureOf(graph);
  const rowNumbers = rowNumbersOf(spelled);
  const held = new Map(
    [...takeWeights(signature, weights)].map(([name, weight]) => [
      name,
      new Float64Array(widen(weight)) as Data,
    ]),
  );
  const states = new Map([...signature.states].map(([name, type]) => [name, make(type)]));
  const write = (name: string, value: HostArray): void => {
    const data = takeState(signature, name, value);
    states.set(name, toDouble(data, typeOfState(signature, name)));
  };
  for (const [name, , value] of takeStates(signature, state)) write(name, value());
  let disposed = false;
  const alive = (): void => {
    if (disposed) throw new UserError('this graph was disposed of; compile it again');
  };

  const read = async (name: string): Promise<HostArray> => {
    alive();
    return toHost({ ...typeOfState(signature, name), data: states.get(name)! });
  };
  const set = async (name: string, value: HostArray): Promise<void> => {
    alive();
    write(name, value);
  };

  return {
    memory: planMemory(spelled, {
      bytes: (type) => bytesOf(type) * (type.dtype === 'f32' ? 2 : 1),
      donate: false,
    }),
    run: async (inputs = {}) => {
      alive();
      const doubles = new Map(states);
      const given = takeInputs(signature, inputs);
      checkRowNumbers(rowNumbers, given);
      for (const [name, data] of given)
        doubles.set(name, toDouble(data, signature.inputs.get(name)!));
      const values = interpret(spelled, { inputs: doubles, weights: held });
      for (const [name, id] of Object.entries(spelled.updates))
        states.set(name, values.get(id)!.data);
      return Object.fromEntries(
        Object.entries(spelled.outputs).map(([name, id]) => [name, toHost(values.get(id)!)]),
      );
    },
    read,
    view: read,
    write: set,
    borrow: set,
    dispose: async () => {
      disposed = true;
      states.clear();
      held.clear();
    },
  };
}
