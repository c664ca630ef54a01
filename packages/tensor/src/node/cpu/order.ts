/** @file In which order ONNX Runtime computes the nodes of a model. */
import type { OnnxNode } from './onnx.ts';

/**
 * The nodes, and markers at the end of the list that make ONNX Runtime compute them in the order in which they stand. Left alone, it goes backwards from the results, depth first,
 * and so puts off whatever only a later result needs: what that reads stays in memory meanwhile (all chunks of an attention's scores, say, until the second of three gradients is asked for).
 *
 * Its rule: of the nodes that nobody reads, and of the nodes that one reads, the last in the list comes first. So the last node of the list has to be one that reads the first
 * node of all, the last but one a node that reads the second, and so on; a Size is such a reader, and costs nothing. A node that its successor reads is computed right before that without being told.
 */
export function inOrder(nodes: readonly OnnxNode[]): OnnxNode[] {
  const told = nodes.filter(
    ({ outputs }, i) => !outputs.some((output) => nodes[i + 1]?.inputs.includes(output)),
  );
  const markers = told.map(
    ({ outputs: [output] }, i): OnnxNode => ({
      // One number: memory for lists is sought among all that were let go of, which takes long when a model is loaded.
      opType: 'Size',
      domain: '',
      name: `order/Size_${i}`,
      inputs: [output!],
      outputs: [`order${i}`],
      attributes: {},
    }),
  );
  return [...nodes, ...markers.reverse()];
}
