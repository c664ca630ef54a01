import type { Graph } from '../../../src/graph/types.ts';
import { lower, type LowerOptions, spellOut } from '../../../src/node/cpu/lower.ts';
import type { WeightSource } from '../../../src/node/cpu/lowering.ts';
import { isRightOperand } from '../../../src/node/cpu/rearrange.ts';
import type { OnnxModel } from '../../../src/node/cpu/onnx.ts';

/** Weights that lie nowhere: for looking at models that nobody runs. */
const nowhere: WeightSource = {
  weight: (emit, name, shape) => {
    const declared = `w:${name}:${shape.join('x')}`;
    const external = { location: 'nowhere', offset: 0, length: 0 };
    emit.declare({ name: declared, type: 'f32', shape, external });
    return declared;
  },
  rows: (emit, name, shape, from, count) =>
    nowhere.weight(emit, `${name} from ${from}`, [count, ...shape.slice(1)]),
  rearranged: (emit, name, order) => {
    const external = { location: 'nowhere', offset: 0, length: 0 };
    emit.declare({
      name: `w:${name} ${order}`,
      type: 'f32',
      shape: [],
      rearranged: isRightOperand(order),
      external,
    });
    return `w:${name} ${order}`;
  },
};

export const modelOf = (
  graph: Graph,
  options: Partial<LowerOptions> = {},
  session: { readonly prepacking?: boolean; readonly threads?: number } = {},
): OnnxModel =>
  lower(
    spellOut(graph),
    nowhere,
    { packBytes: 2 ** 28, chunkBytes: 2 ** 26, tileBytes: 2 ** 19, ...options },
    { prepacking: true, ...session },
  ).model;

/** How many nodes of each operator the model has. */
export function operators({ nodes }: OnnxModel): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { opType } of nodes) counts[opType] = (counts[opType] ?? 0) + 1;
  return counts;
}
