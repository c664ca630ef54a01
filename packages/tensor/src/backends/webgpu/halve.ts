/** @file Trained parameters as products and convolutions read them where intermediates are f16: a copy, made once a step, which storage.ts stores in f16. */
import type { Graph, NodeId } from '../../graph/types.ts';
import { copyNode, rewrite } from '../../graph/walk.ts';
import { uniform } from '../../optimize/uniform.ts';

/** For optimized graphs: to the optimizer the copies are the states themselves. */
export function copyStates(graph: Graph): Graph {
  return rewrite(graph, (builder, node, inputs) => {
    const multiplies =
      node.op === 'matmul' ||
      node.op === 'conv2d' ||
      node.op === 'conv2dGradInput' ||
      node.op === 'conv2dGradWeight';
    if (!multiplies) return undefined;
    const copied = (id: NodeId): NodeId => {
      const source = builder.node(id);
      if (source.op === 'input' && source.attrs.state)
        return builder.add('mul', [id, uniform(builder, 1, source)], {});
      if (source.op !== 'reshape' && source.op !== 'permute') return id;
      const inner = copied(source.inputs[0]!);
      return inner === source.inputs[0] ? id : copyNode(builder, source, [inner]);
    };
    return copyNode(builder, node, inputs.map(copied));
  });
}
