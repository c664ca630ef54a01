/** @file From a graph to a smaller one that computes the same. */
import { internal } from '../errors.ts';
import type { Graph, NodeId } from '../graph/types.ts';
import { rewrite } from '../graph/walk.ts';
import { simplify } from './algebra.ts';
import { fold } from './fold.ts';

/** Far more than any graph needs: each round passes a change on to the nodes that read it, in one sweep. */
const MOST_ROUNDS = 100;

/**
 * Folds constants, simplifies, and drops what no result needs and what is computed twice (equal nodes are one, except across a `barrier` and between a recompute region and its copy), until
 * nothing changes. Inputs, outputs and states stay; so do the layers of nodes and their order. Rounding may differ where sums of repeated elements become products.
 */
export function optimize(graph: Graph): Graph {
  let current = graph;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    let changed = false;
    const next = rewrite(current, (builder, node, inputs) => {
      let before = builder.size;
      let simpler = fold(builder, node, inputs) ?? simplify(builder, node, inputs);
      changed ||= simpler !== undefined;
      // What is new may be simpler still, which saves a round.
      while (simpler !== undefined && simpler >= before) {
        const made = builder.node(simpler);
        before = builder.size;
        const again: NodeId | undefined =
          fold(builder, made, made.inputs) ?? simplify(builder, made, made.inputs);
        if (again === undefined) break;
        simpler = again;
      }
      return simpler;
    });
    if (!changed) return next;
    current = next;
  }
  throw internal('the optimizer does not come to an end');
}
