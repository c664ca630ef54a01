/** @file Constant folding: what depends on constants alone is computed now, by the rules of the reference backend. */
import { compute, type Value } from '../backends/reference/rules.ts';
import {
  type AnyNode,
  type NodeId,
  type NodeSink,
  type Primitive,
  sizeOf,
} from '../graph/types.ts';
import { elementwise } from './elementwise.ts';
import { uniform, uniformValue } from './uniform.ts';

/** Constants with more elements than this are computed at each run rather than stored. */
const LARGEST = 4096;

const folded = (op: Primitive): boolean =>
  ![
    ...['input', 'weight', 'constant', 'stopGradient', 'barrier', 'composite', 'part', 'custom'],
  ].includes(op);
const nothing = { inputs: new Map(), weights: new Map() };

/** The constant that `node` becomes, if its inputs are constants. */
export function fold(
  builder: NodeSink,
  node: AnyNode,
  inputs: readonly NodeId[],
): NodeId | undefined {
  if (!folded(node.op) || inputs.length === 0) return undefined;
  const same = inputs.map((input) => uniformValue(builder, input));
  if (elementwise.has(node.op) && same.every((value) => value !== undefined)) {
    const singles = inputs.map((input, i) => {
      const { dtype } = builder.node(input);
      return valueOf({ shape: [], dtype }, [same[i]!]);
    });
    const { data } = compute({ ...node, shape: [] }, singles, nothing);
    return uniform(builder, data[0]!, node);
  }
  // A repeated constant is stored once; repeating is left to whoever reads it.
  if (node.op === 'broadcast' || sizeOf(node.shape) > LARGEST) return undefined;
  const values = inputs.map((input) => constantValue(builder, input));
  if (!values.every((value) => value !== undefined)) return undefined;
  const { data } = compute(node, values, nothing);
  if (data.every((x) => Object.is(x, data[0]))) return uniform(builder, data[0]!, node);
  return builder.add('constant', [], {
    data: Array.from(data),
    type: { shape: node.shape, dtype: node.dtype },
  });
}

function constantValue(builder: NodeSink, id: NodeId): Value | undefined {
  const node = builder.node(id);
  if (sizeOf(node.shape) > LARGEST) return undefined;
  if (node.op === 'constant') return compute(node, [], nothing);
  const source = node.op === 'broadcast' ? constantValue(builder, node.inputs[0]!) : undefined;
  return source && compute(node, [source], nothing);
}

const valueOf = (type: Pick<Value, 'shape' | 'dtype'>, data: readonly number[]): Value =>
  compute(
    { op: 'constant', inputs: [], attrs: { data, type }, ...type, path: '', region: 0 },
    [],
    nothing,
  );
