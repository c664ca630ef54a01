/** @file In which order ONNX Runtime computes the nodes of a model. */
import type { OnnxNode } from './onnx.ts';

/** Nodes that follow each other, all of which the last one needs. */
interface Stretch {
  readonly from: number;
  readonly end: number;
}

/**
 * The nodes, last ones first, with markers among them that make ONNX Runtime compute them in the order in which they were given. It goes backwards from the nodes that nobody reads, depth first,
 * and of several, also of those that one reads, takes the last in the list first. So it puts off whatever only a later result needs, and what that reads stays in memory meanwhile (all chunks of an
 * attention's scores, say, until the second of three gradients is asked for).
 *
 * A marker is a node that nobody reads: what it reads is computed when its turn comes in the list. That is needed at the ends of the stretches that a search from their last node finds in order.
 */
export function inOrder(nodes: readonly OnnxNode[]): OnnxNode[] {
  const maker = new Map(nodes.flatMap(({ outputs }, i) => outputs.map((output) => [output, i])));
  const isRead = new Array<boolean>(nodes.length).fill(false);
  const stretches: Stretch[] = [];
  nodes.forEach(({ inputs }, i) => {
    const read = new Set<number>();
    for (const input of inputs) {
      const by = maker.get(input);
      if (by === undefined) continue;
      read.add(by);
      isRead[by] = true;
    }
    let from = i;
    for (;;) {
      const before = stretches.at(-1);
      // If a node inside is read as well, the search would come to it first.
      if (!before || !read.has(before.end) || hasBetween(read, before)) break;
      from = before.from;
      stretches.pop();
    }
    stretches.push({ from, end: i });
  });
  const marked = new Set(stretches.flatMap(({ end }) => (isRead[end] ? [end] : [])));
  return nodes.flatMap((node, i) => (marked.has(i) ? [node, marker(node, i)] : [node])).reverse();
}

function hasBetween(read: ReadonlySet<number>, { from, end }: Stretch): boolean {
  for (const by of read) if (by >= from && by < end) return true;
  return false;
}

/** A Size costs nothing, and its one number no search: memory for lists is sought among all that were let go of, which takes long when a model is loaded. */
const marker = ({ outputs }: OnnxNode, i: number): OnnxNode => ({
  opType: 'Size',
  domain: '',
  name: `order/Size_${i}`,
  inputs: [outputs[0]!],
  outputs: [`order${i}`],
  attributes: {},
});
