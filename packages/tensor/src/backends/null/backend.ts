/** @file The null backend: checks and plans a graph and computes nothing. */
import type { Backend } from '../../backend.ts';
import { UserError } from '../../errors.ts';
import { planMemory } from '../../graph/plan.ts';
import { hostData } from '../../host/array.ts';
import { signatureOf, takeStates, takeWeights } from '../../host/signature.ts';

const nothing = async (): Promise<never> => {
  throw new UserError(
    'the null backend only plans and has no numbers; choose another backend to compute',
  );
};

/**
 * What a graph would need, on any machine: `memory` is planned in the graph's own order, composites taken for kernels that keep nothing but their results. `weights` are checked where they
 * are given and their bytes never read. To run, read or write throws UserError.
 */
export const nullBackend: Backend = {
  name: 'null',
  compile: async (graph, { weights, state = {} } = {}) => {
    const signature = signatureOf(graph);
    if (weights) takeWeights(signature, weights);
    for (const [name, type, value] of takeStates(signature, state))
      hostData(value(), type, `state ${name}`);
    return {
      memory: planMemory(graph),
      run: nothing,
      read: nothing,
      view: nothing,
      write: nothing,
      borrow: nothing,
      dispose: async () => {},
    };
  },
};
