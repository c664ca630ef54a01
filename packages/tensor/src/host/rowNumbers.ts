/** @file Which inputs are row numbers, and whether there are such rows. */
import type { HostData } from '../backend.ts';
import { failureIn } from '../errors.ts';
import type { AnyNode, Graph, NodeId } from '../graph/types.ts';
import { needed } from '../graph/walk.ts';

/** A table and the input that says which of its rows are read or added to. */
interface RowNumbers {
  readonly input: string;
  readonly rows: number;
  readonly op: string;
  readonly path: string;
}

/** The input, given at each call, whose numbers a node holds as they are; undefined where it computes some. */
export function givenIn(nodeOf: (id: NodeId) => AnyNode, id: NodeId): string | undefined {
  const node = nodeOf(id);
  if (node.op === 'input') return node.attrs.state ? undefined : node.attrs.name;
  return node.op === 'reshape' || node.op === 'permute' || node.op === 'broadcast'
    ? givenIn(nodeOf, node.inputs[0]!)
    : undefined;
}

/** The inputs that are used as row numbers as they are. */
export function rowNumbersOf(graph: Graph): RowNumbers[] {
  const live = needed(graph);
  return graph.nodes.flatMap((node, id) => {
    if (!live[id] || (node.op !== 'gather' && node.op !== 'scatterAdd')) return [];
    const input = givenIn((one) => graph.nodes[one]!, node.inputs[1]!);
    const rows = node.op === 'gather' ? graph.nodes[node.inputs[0]!]!.shape[0]! : node.attrs.rows;
    return input === undefined ? [] : [{ input, rows, op: node.op, path: node.path }];
  });
}

/** Throws UserError, naming the layer and the input, if a row number has no row. */
export function checkRowNumbers(
  list: readonly RowNumbers[],
  inputs: ReadonlyMap<string, HostData>,
): void {
  for (const { input, rows, op, path } of list)
    for (const row of inputs.get(input)!)
      if (row < 0 || row >= rows)
        throw failureIn(
          op,
          path,
        )(`index ${row}, of input ${input}, is not among the ${rows} rows of the table`);
}
