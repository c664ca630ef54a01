/** @file Graphs as text, for people. */
import { type AnyNode, type Graph, type NodeId, showShape, type TensorType } from './types.ts';

/** Numbers of a constant that are shown. */
const SHOWN = 6;

const showType = ({ dtype, shape }: TensorType): string => `${dtype} ${showShape(shape)}`;
const showIds = (ids: readonly NodeId[]): string => ids.map((id) => `%${id}`).join(', ');

/**
 * One node a line, `%4 = reduceSum(%3) axes=[1] : f32 [2, 1]  # unet.mid_block`, then the results. `recompute 1` after the layer: the node belongs to that region.
 * A composite shows the types of all its results.
 */
export function printGraph(graph: Graph): string {
  const lines = graph.nodes.map((node, id) => {
    const { name, attributes, types } = describe(node);
    const call = [name, ...(node.inputs.length > 0 ? [`(${showIds(node.inputs)})`] : [])].join('');
    const notes = [node.path, node.region === 0 ? '' : `recompute ${node.region}`]
      .filter(Boolean)
      .join(', ');
    return `%${id} = ${[call, ...attributes].join(' ')} : ${types.map(showType).join(', ')}${notes && `  # ${notes}`}`;
  });
  const results = (what: string, ids: Readonly<Record<string, NodeId>>) =>
    Object.entries(ids).map(([name, id]) => `${what} ${name} = %${id}`);
  return [...lines, ...results('output', graph.outputs), ...results('update', graph.updates)].join(
    '\n',
  );
}

function describe(node: AnyNode): { name: string; attributes: string[]; types: TensorType[] } {
  const types: TensorType[] = [node];
  switch (node.op) {
    case 'input':
      return {
        name: `${node.attrs.state ? 'state' : 'input'} ${node.attrs.name}`,
        attributes: [],
        types,
      };
    case 'weight':
      return { name: `weight ${node.attrs.name}`, attributes: [], types };
    case 'constant': {
      const { data } = node.attrs;
      const shown = data.slice(0, SHOWN).join(', ');
      return {
        name: `constant ${data.length > SHOWN ? `${shown}, ...` : shown}`,
        attributes: [],
        types,
      };
    }
    case 'composite': {
      const { definition, options, outputs } = node.attrs;
      return { name: definition.name, attributes: showAttributes(options), types: [...outputs] };
    }
    case 'custom':
      return { name: `custom ${node.attrs.definition.name}`, attributes: [], types };
    default:
      return { name: node.op, attributes: showAttributes(node.attrs), types };
  }
}

const showAttributes = (attrs: object): string[] =>
  Object.entries(attrs).map(
    ([key, value]) => `${key}=${Array.isArray(value) ? showShape(value) : String(value)}`,
  );
