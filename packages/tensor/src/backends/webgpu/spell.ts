/** @file What an element of each primitive is, as a WGSL expression of the elements that it is made of: one exhaustive table. */
import { internal } from '../../errors.ts';
import {
  type AnyNode,
  type DType,
  type Node,
  type NodeId,
  type Primitive,
} from '../../graph/types.ts';
import type { Body } from './body.ts';
import {
  axisAt,
  coordinate,
  number,
  type Place,
  plus,
  minus,
  reshaped,
  type Term,
} from './places.ts';

/** What spells a node's inputs, at other places. */
export interface Speller {
  readonly body: Body;
  node(id: NodeId): AnyNode;
  /** The element of `id` at `place`: f32, i32, u32 (codes) or bool. */
  value(id: NodeId, place: Place): string;
  /** Says that `index` is no row, if it is none of `rows`. */
  checkRow(node: NodeId, index: string, rows: number): void;
}
interface Call<P extends Primitive> {
  readonly id: NodeId;
  readonly node: Node<P>;
  readonly place: Place;
  readonly at: Speller;
}
type Rule<P extends Primitive> = (call: Call<P>) => string;

export const wgslType: Readonly<Record<DType, string>> = {
  f32: 'f32',
  i32: 'i32',
  u8: 'u32',
  bool: 'bool',
};

/** A literal of a type. */
export function literal(value: number, dtype: DType, body: Body): string {
  if (dtype === 'bool') return value ? 'true' : 'false';
  if (dtype === 'i32') return `i32(${Math.trunc(value)})`;
  if (dtype === 'u8') return `${value & 255}u`;
  const f = Math.fround(value);
  if (Number.isNaN(f)) return body.call('nan');
  if (!Number.isFinite(f)) return f > 0 ? body.call('infinity') : `(-${body.call('infinity')})`;
  if (Object.is(f, -0)) return '(-0f)';
  return f < 0 ? `(${f}f)` : `${f}f`;
}

const each =
  (spell: (x: string, body: Body) => string): Rule<Primitive> =>
  ({ node, place, at }) =>
    spell(at.value(node.inputs[0]!, place), at.body);
const pairwise =
  (spell: (a: string, b: string, body: Body, dtype: DType) => string): Rule<Primitive> =>
  ({ node, place, at }) =>
    spell(
      at.value(node.inputs[0]!, place),
      at.value(node.inputs[1]!, place),
      at.body,
      at.node(node.inputs[0]!).dtype,
    );
const infix = (operator: string): Rule<Primitive> => pairwise((a, b) => `(${a} ${operator} ${b})`);
const stored: Rule<Primitive> = ({ node }) => {
  throw internal(`${node.op} is computed by a kernel of its own`);
};
const asItIs: Rule<Primitive> = ({ node, place, at }) => at.value(node.inputs[0]!, place);

const casts: Readonly<Record<DType, Readonly<Record<DType, (x: string) => string>>>> = {
  f32: {
    f32: (x) => x,
    i32: (x) => `i32(${x})`,
    bool: (x) => `((bitcast<u32>(${x}) & 0x7fffffffu) != 0u)`,
    u8: (x) => `(u32(i32(${x})) & 255u)`,
  },
  i32: {
    f32: (x) => `f32(${x})`,
    i32: (x) => x,
    bool: (x) => `(${x} != 0)`,
    u8: (x) => `(bitcast<u32>(${x}) & 255u)`,
  },
  bool: {
    f32: (x) => `select(0f, 1f, ${x})`,
    i32: (x) => `select(0i, 1i, ${x})`,
    bool: (x) => x,
    u8: (x) => `select(0u, 1u, ${x})`,
  },
  u8: {
    f32: (x) => `f32(${x})`,
    i32: (x) => `i32(${x})`,
    bool: (x) => `(${x} != 0u)`,
    u8: (x) => x,
  },
};
const zero: Readonly<Record<DType, string>> = { f32: '0f', i32: '0i', u8: '0u', bool: 'false' };

/** A variable that `fill` gives its value, where the branches that it writes come to it. */
function branching(dtype: DType, body: Body, fill: (name: string) => void): string {
  const name = body.fresh();
  body.line(`var ${name} = ${zero[dtype]};`);
  fill(name);
  return name;
}

/** The element at `place` of `inputs` joined along `axis`. */
export function joined(at: Speller, inputs: readonly NodeId[], axis: number, place: Place): string {
  const within = (input: NodeId, inner: Term): Place =>
    place.map((one, i) => (i === axis ? axisAt(at.node(input).shape[axis]!, inner) : one));
  const along = at.body.term(coordinate(place[axis]!));
  if (inputs.length === 1) return at.value(inputs[0]!, within(inputs[0]!, along));
  let from = 0;
  return branching(at.node(inputs[0]!).dtype, at.body, (name) =>
    inputs.forEach((input, n) => {
      const length = at.node(input).shape[axis]!;
      const start = from;
      from += length;
      const above = n < inputs.length - 1 ? `${along.code} < ${from}u` : '';
      const below = n > 0 ? `${along.code} >= ${start}u` : '';
      at.body.block(`if (${[below, above].filter(Boolean).join(' && ')})`, () => {
        const inner = at.body.term({ ...minus(along, start), max: length - 1 });
        at.body.line(`${name} = ${at.value(input, within(input, inner))};`);
      });
    }),
  );
}

export const rules: { [P in Primitive]: Rule<P> } = {
  input: stored,
  weight: stored,
  constant: ({ node, at }) => {
    if (node.attrs.data.length !== 1) throw internal('a table of constants is loaded');
    return literal(node.attrs.data[0]!, node.dtype, at.body);
  },

  neg: each((x) => `(-${x})`),
  exp: each((x) => `exp(${x})`),
  log: each((x, body) => body.call('logarithm', x)),
  sqrt: each((x) => `sqrt(${x})`),
  sin: each((x, body) => body.call('sine', x)),
  cos: each((x, body) => body.call('cosine', x)),
  tanh: each((x, body) => body.call('tanhSafe', x)),
  erf: each((x, body) => body.call('erf', x)),
  sigmoid: each((x, body) =>
    body.statements
      ? body.call('sigmoid', x)
      : `(select(exp(-abs(${x})), 1.0, ${x} >= 0.0) / (1.0 + exp(-abs(${x}))))`,
  ),
  abs: each((x) => `abs(${x})`),
  sign: each((x) => `sign(${x})`),

  add: infix('+'),
  sub: infix('-'),
  mul: infix('*'),
  div: infix('/'),
  pow: pairwise((a, b, body, dtype) => body.call(dtype === 'f32' ? 'power' : 'integerPower', a, b)),
  maximum: pairwise((a, b, body, dtype) =>
    dtype === 'f32' ? body.call('larger', a, b) : `max(${a}, ${b})`,
  ),
  minimum: pairwise((a, b, body, dtype) =>
    dtype === 'f32' ? body.call('smaller', a, b) : `min(${a}, ${b})`,
  ),
  less: infix('<'),
  equal: infix('=='),
  where: ({ node, place, at }) => {
    const [condition, then, otherwise] = node.inputs.map((input) => at.value(input, place));
    return `select(${otherwise}, ${then}, ${condition})`;
  },
  cast: ({ node, place, at }) => {
    const [x] = node.inputs as [NodeId];
    return casts[at.node(x).dtype][node.dtype](at.value(x, place));
  },

  reduceSum: stored,
  reduceMax: stored,
  matmul: stored,
  conv2d: stored,
  conv2dGradInput: stored,
  conv2dGradWeight: stored,

  reshape: ({ node, place, at }) => {
    const [x] = node.inputs as [NodeId];
    return at.value(x, reshaped(place, at.node(x).shape, at.body.term));
  },
  permute: ({ node, place, at }) => {
    const axes: Place[number][] = [];
    node.attrs.axes.forEach((axis, i) => {
      axes[axis] = place[i]!;
    });
    return at.value(node.inputs[0]!, axes);
  },
  broadcast: ({ node, place, at }) => {
    const [x] = node.inputs as [NodeId];
    const { shape } = at.node(x);
    return at.value(
      x,
      place.map((axis, i) => (shape[i] === axis.length ? axis : axisAt(1, number(0)))),
    );
  },
  pad: ({ node, place, at }) => {
    const [x] = node.inputs as [NodeId];
    const { shape } = at.node(x);
    const { low } = node.attrs;
    const inside: string[] = [];
    const terms = place.map((axis, i): Term => {
      if (axis.length === shape[i]) return coordinate(axis);
      const at_ = at.body.term(coordinate(axis));
      const [from, to] = [low[i]!, low[i]! + shape[i]!];
      if (from > 0) inside.push(`${at_.code} >= ${from}u`);
      if (to < axis.length) inside.push(`${at_.code} < ${to}u`);
      return { ...minus(at_, from), max: shape[i]! - 1 };
    });
    return branching(node.dtype, at.body, (name) =>
      at.body.block(`if (${inside.join(' && ')})`, () => {
        const axes = place.map((axis, i) =>
          axis.length === shape[i] ? axis : axisAt(shape[i]!, at.body.term(terms[i]!)),
        );
        at.body.line(`${name} = ${at.value(x, axes)};`);
      }),
    );
  },
  slice: ({ node, place, at }) => {
    const [x] = node.inputs as [NodeId];
    const { shape } = at.node(x);
    return at.value(
      x,
      place.map((axis, i) =>
        axis.length === shape[i]
          ? axis
          : axisAt(shape[i]!, at.body.term(plus(coordinate(axis), number(node.attrs.start[i]!)))),
      ),
    );
  },
  concat: ({ node, place, at }) => joined(at, node.inputs, node.attrs.axis, place),
  gather: ({ id, node, place, at }) => {
    const [table, indices] = node.inputs as [NodeId, NodeId];
    const { shape } = at.node(table);
    const rank = at.node(indices).shape.length;
    const index = at.value(indices, place.slice(0, rank));
    at.checkRow(id, index, shape[0]!);
    const row = at.body.bind(`u32(clamp(${index}, 0i, ${shape[0]! - 1}i))`);
    return at.value(table, [
      axisAt(shape[0]!, { code: row, max: shape[0]! - 1 }),
      ...place.slice(rank),
    ]);
  },
  scatterAdd: stored,

  stopGradient: asItIs,
  barrier: asItIs,
  composite: stored,
  part: stored,
  custom: stored,
};

/** The element of `id` at `place`, by the rule of its primitive. */
export function spell(id: NodeId, place: Place, at: Speller): string {
  const node = at.node(id);
  return (rules[node.op] as Rule<Primitive>)({ id, node: node as Node, place, at });
}
