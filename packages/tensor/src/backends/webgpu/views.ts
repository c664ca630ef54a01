/** @file Movement of elements as strides: how a tensor lies in the one that it was made from. */
import type { AnyNode, NodeId, Primitive } from '../../graph/types.ts';
import { contiguous, reshapedView, type View } from './places.ts';

/** What moves elements, or nothing at all, and computes none. */
export const moves: ReadonlySet<Primitive> = new Set<Primitive>([
  ...(['reshape', 'permute', 'broadcast', 'slice', 'stopGradient', 'barrier', 'part'] as const),
  ...(['input', 'weight', 'constant'] as const),
]);

export interface Seen {
  readonly source: NodeId;
  readonly view: View;
}

/** `id` as a view of the first tensor on its way back that `stop` says yes to, or of which it is no even view. */
export function viewOf(
  node: (id: NodeId) => AnyNode,
  id: NodeId,
  stop: (id: NodeId) => boolean,
): Seen {
  const own: Seen = { source: id, view: contiguous(node(id).shape) };
  if (stop(id)) return own;
  const n = node(id);
  const moved = (change: (view: View) => View | undefined): Seen => {
    const { source, view } = viewOf(node, n.inputs[0]!, stop);
    const changed = change(view);
    return changed ? { source, view: changed } : own;
  };
  switch (n.op) {
    case 'reshape':
      return moved((view) => reshapedView(view, n.shape));
    case 'permute':
      return moved(({ strides, offset }) => ({
        shape: n.shape,
        strides: n.attrs.axes.map((axis) => strides[axis]!),
        offset,
      }));
    case 'broadcast':
      return moved(({ shape, strides, offset }) => ({
        shape: n.shape,
        strides: strides.map((s, i) => (shape[i] === 1 ? 0 : s)),
        offset,
      }));
    case 'slice':
      return moved(({ strides, offset }) => ({
        shape: n.shape,
        strides,
        offset: n.attrs.start.reduce((at, start, i) => at + start * strides[i]!, offset),
      }));
    case 'stopGradient':
    case 'barrier':
      return moved((view) => view);
    default:
      return own;
  }
}
