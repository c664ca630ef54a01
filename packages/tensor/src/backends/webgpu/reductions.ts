/** @file Kernels that bring many elements down to one: sums and maxima, and, one thread a result, products of matrices and convolutions as their definitions say. */
import { type Node, type NodeId, type Shape, sizeOf, stridesOf } from '../../graph/types.ts';
import type { Lowering } from './lowering.ts';
import {
  axisAt,
  coordinate,
  number,
  type Place,
  placeAt,
  type Term,
  times,
  plus,
  variable,
} from './places.ts';
import type { TensorId } from './program.ts';
import { literal } from './spell.ts';
import type { Writer } from './writer.ts';

type Reduce = Node<'reduceSum' | 'reduceMax'>;

/** A loop of one thread. */
const SERIAL = 32;

/** The element of x whose kept axes have the row-major number `o`, and the others `r`. */
function placeIn(shape: Shape, axes: readonly number[], o: Term, r: Term): Place {
  const lengths = (reduced: boolean) =>
    stridesOf(shape.map((d, i) => (axes.includes(i) === reduced ? d : 1)));
  const [kept, gone] = [lengths(false), lengths(true)];
  return shape.map((length, i) =>
    axes.includes(i) ? { length, base: r, inner: gone[i]! } : { length, base: o, inner: kept[i]! },
  );
}

interface Combine {
  readonly start: string;
  readonly of: (a: string, b: string) => string;
}
function combineOf({ op, dtype }: Reduce, writer: Writer): Combine {
  if (op === 'reduceSum')
    return { start: literal(0, dtype, writer.body), of: (a, b) => `${a} + ${b}` };
  return dtype === 'f32'
    ? {
        start: literal(Number.NEGATIVE_INFINITY, dtype, writer.body),
        of: (a, b) => writer.body.call('larger', a, b),
      }
    : { start: 'i32(-2147483648)', of: (a, b) => `max(${a}, ${b})` };
}

/** How the work is shared out: `threads` [results, elements] of a workgroup, and into how many parts the elements of a result are split. */
interface Shares {
  readonly threads: readonly [number, number];
  readonly parts: number;
}
function sharesOf(at: Lowering, outer: number, inner: number, columns: boolean): Shares {
  const { kind, workgroupSize } = at.target;
  const most = kind === 'gpu' ? Math.min(256, workgroupSize) : 32;
  if (columns) {
    if (inner <= SERIAL) return { threads: [most, 1], parts: 1 };
    const threads = kind === 'gpu' ? ([32, most / 32] as const) : ([most, 1] as const);
    const groups = Math.ceil(outer / threads[0]);
    const parts = Math.min(Math.ceil(inner / 64), Math.ceil(512 / groups));
    return { threads, parts: Math.max(1, parts) };
  }
  if (inner <= SERIAL) return { threads: [most, 1], parts: 1 };
  const threads = [1, inner <= 128 ? Math.min(64, most) : most] as const;
  const parts =
    outer < 512 && inner > 8192 ? Math.min(Math.ceil(inner / 4096), Math.ceil(1024 / outer)) : 1;
  return { threads, parts };
}

/** A sum or maximum over axes, and what is done to it (`end`: the last node of that). */
export function reduce(at: Lowering, id: NodeId, end: NodeId): void {
  const node = at.node(id) as Reduce;
  const [x] = node.inputs as [NodeId];
  const { shape } = at.node(x);
  const { axes } = node.attrs;
  const outer = sizeOf(node.shape);
  const inner = sizeOf(shape) / outer;
  const last = shape.findLastIndex((d) => d > 1);
  const columns = !axes.includes(last) && shape[last]! >= 8;
  const { threads, parts } = sharesOf(at, outer, inner, columns);
  const element = (writer: Writer, o: Term, r: Term): string =>
    writer.value(x, placeIn(shape, axes, o, r));
  const extent = { outer, inner };
  if (parts === 1) {
    kernel(at, { node, id, end, threads, parts, ...extent, element });
    return;
  }
  const partial = at.temporary(node.dtype === 'f32' ? 'f32' : 'i32', parts * outer);
  kernel(at, { node, id, end, threads, parts, ...extent, element, partial });
  kernel(at, {
    node,
    id,
    end,
    threads: [at.target.kind === 'gpu' ? 64 : 32, 1],
    parts: 1,
    outer,
    inner: parts,
    element: (writer, o, r) =>
      writer.loadTensor(partial, writer.body.bind(plus(times(r, outer), o).code)),
  });
}

function kernel(
  at: Lowering,
  work: {
    readonly node: Reduce;
    readonly id: NodeId;
    readonly end: NodeId;
    readonly threads: readonly [number, number];
    readonly parts: number;
    readonly outer: number;
    readonly inner: number;
    readonly element: (writer: Writer, o: Term, r: Term) => string;
    /** Where the parts of a result go, [parts, outer]. */
    readonly partial?: TensorId;
  },
): void {
  const { node, id, end, outer, inner, parts, partial } = work;
  const [wide, deep] = work.threads;
  const writer = at.writer([end]);
  const { body } = writer;
  const combine = combineOf(node, writer);
  const type = node.dtype === 'f32' ? 'f32' : 'i32';
  const chunk = Math.ceil(inner / parts);
  body.line(`let o = (group.y * groups.x + group.x) * ${wide}u${wide > 1 ? ' + local.x' : ''};`);
  body.line(`var acc = ${combine.start};`);
  const o = variable('o', outer);
  body.block(`if (o < ${outer}u)`, () => {
    const from = parts > 1 ? `group.z * ${chunk}u` : '0u';
    const to = parts > 1 ? `min(${inner}u, (group.z + 1u) * ${chunk}u)` : `${inner}u`;
    const start = deep > 1 ? `${from} + local.y` : from;
    body.line(`let to = ${to};`);
    body.block(`for (var r = ${start}; r < to; r += ${deep}u)`, () => {
      const value = work.element(writer, o, variable('r', inner));
      body.line(`acc = ${combine.of('acc', value)};`);
    });
  });
  let result = 'acc';
  if (deep > 1) {
    body.line('let lane = local.y * ' + `${wide}u + local.x;`);
    body.line('partials[lane] = acc;');
    body.line('workgroupBarrier();');
    body.block(`for (var s = ${deep / 2}u; s > 0u; s = s >> 1u)`, () => {
      body.line(
        `if (local.y < s) { partials[lane] = ${combine.of('partials[lane]', `partials[lane + s * ${wide}u]`)}; }`,
      );
      body.line('workgroupBarrier();');
    });
    result = 'partials[local.x]';
  }
  body.block(`if (o < ${outer}u${deep > 1 ? ' && local.y == 0u' : ''})`, () => {
    body.line(`let total = ${result};`);
    if (partial !== undefined)
      writer.storeTensor(partial, parts > 1 ? `group.z * ${outer}u + o` : 'o', 'total');
    else {
      writer.computes(id);
      if (end !== id) writer.give(id, 'total');
      const value = end === id ? 'total' : writer.value(end, placeAt(at.node(end).shape, o));
      writer.storeTensor(at.stored(end), 'o', value);
    }
  });
  const groups = Math.ceil(outer / wide);
  const [gx, gy] = at.grid(groups);
  at.push(
    writer.finish({
      name: `${node.op} ${wide}x${deep}`,
      workgroup: [wide, deep],
      workgroups: [gx, gy, parts],
      ...(deep > 1 && { shared: `var<workgroup> partials: array<${type}, ${wide * deep}>;` }),
      flops: outer * inner,
      path: node.path,
    }),
  );
}

/** A kernel in which each thread adds up one result. `loops` writes the loops and calls `add` with each product. */
function serial(
  at: Lowering,
  id: NodeId,
  end: NodeId,
  flops: number,
  loops: (writer: Writer, place: Place, add: (a: string, b: string) => void) => void,
): void {
  const node = at.node(id);
  const size = sizeOf(node.shape);
  const writer = at.writer([end]);
  const { body } = writer;
  const threads = at.lineSize;
  body.line(`let i = (group.y * groups.x + group.x) * ${threads}u + local.x;`);
  body.line(`if (i >= ${size}u) { return; }`);
  body.line('var acc = 0f;');
  const i = variable('i', size);
  loops(writer, placeAt(node.shape, i), (a, b) => body.line(`acc = acc + ${a} * ${b};`));
  body.line('let total = acc;');
  writer.computes(id);
  if (end !== id) writer.give(id, 'total');
  const value = end === id ? 'total' : writer.value(end, placeAt(at.node(end).shape, i));
  writer.storeTensor(at.stored(end), 'i', value);
  const [gx, gy] = at.grid(Math.ceil(size / threads));
  at.push(
    writer.finish({
      name: `${node.op} plain`,
      workgroup: [threads, 1],
      workgroups: [gx, gy, 1],
      flops,
      path: node.path,
    }),
  );
}

export function plainMatmul(at: Lowering, id: NodeId, end: NodeId): void {
  const node = at.node(id) as Node<'matmul'>;
  const [a, b] = node.inputs as [NodeId, NodeId];
  const { transposeA, transposeB } = node.attrs;
  const depth = at.node(a).shape.at(transposeA ? -2 : -1)!;
  serial(at, id, end, 2 * sizeOf(node.shape) * depth, (writer, place, add) => {
    const batch = place.slice(0, -2);
    const [m, n] = place.slice(-2) as [Place[number], Place[number]];
    writer.body.block(`for (var k = 0u; k < ${depth}u; k++)`, () => {
      const k = axisAt(depth, variable('k', depth));
      add(
        writer.value(a, [...batch, ...(transposeA ? [k, m] : [m, k])]),
        writer.value(b, [...batch, ...(transposeB ? [n, k] : [k, n])]),
      );
    });
  });
}

const loop = (writer: Writer, name: string, count: number, inside: (t: Term) => void): void => {
  if (count === 1) {
    inside(number(0));
    return;
  }
  writer.body.block(`for (var ${name} = 0u; ${name} < ${count}u; ${name}++)`, () =>
    inside(variable(name, count)),
  );
};

/** `inside` where (at * stride + tap - before) is among `length`. Unsigned: what lies before the beginning is very large. */
function tapped(
  writer: Writer,
  at: Term,
  stride: number,
  tap: Term,
  before: number,
): { readonly code: string } {
  const shifted = plus(times(at, stride), tap);
  return { code: writer.body.bind(before === 0 ? shifted.code : `(${shifted.code} - ${before}u)`) };
}

export function plainConv2d(at: Lowering, id: NodeId, end: NodeId): void {
  const node = at.node(id) as Node<'conv2d'>;
  const [x, w] = node.inputs as [NodeId, NodeId];
  const [, , height, width] = at.node(x).shape as [number, number, number, number];
  const [, channels, kh, kw] = at.node(w).shape as [number, number, number, number];
  const { stride, padding } = node.attrs;
  serial(at, id, end, 2 * sizeOf(node.shape) * channels * kh * kw, (writer, place, add) => {
    const [n, o, i, j] = place as [Place[number], Place[number], Place[number], Place[number]];
    const { body } = writer;
    const [row, column] = [body.term(coordinate(i)), body.term(coordinate(j))];
    loop(writer, 'c', channels, (c) =>
      loop(writer, 'ky', kh, (ky) =>
        loop(writer, 'kx', kw, (kx) => {
          const y = tapped(writer, row, stride[0], ky, padding[0]);
          const z = tapped(writer, column, stride[1], kx, padding[1]);
          body.block(`if (${y.code} < ${height}u && ${z.code} < ${width}u)`, () =>
            add(
              writer.value(x, [
                n,
                axisAt(channels, c),
                axisAt(height, { code: y.code, max: height - 1 }),
                axisAt(width, { code: z.code, max: width - 1 }),
              ]),
              writer.value(w, [o, axisAt(channels, c), axisAt(kh, ky), axisAt(kw, kx)]),
            ),
          );
        }),
      ),
    );
  });
}

export function plainConv2dGradInput(at: Lowering, id: NodeId, end: NodeId): void {
  const node = at.node(id) as Node<'conv2dGradInput'>;
  const [dy, w] = node.inputs as [NodeId, NodeId];
  const [, outputs, rows, columns] = at.node(dy).shape as [number, number, number, number];
  const [, , kh, kw] = at.node(w).shape as [number, number, number, number];
  const { stride, padding } = node.attrs;
  serial(at, id, end, 2 * sizeOf(node.shape) * outputs * kh * kw, (writer, place, add) => {
    const [n, c, y, x] = place as [Place[number], Place[number], Place[number], Place[number]];
    const { body } = writer;
    // The result i with i stride = y + before - tap.
    const back = (axis: Place[number], tap: Term, before: number, step: number) => {
      const shifted = body.bind(`(${plus(coordinate(axis), number(before)).code} - ${tap.code})`);
      return { divides: `${shifted} % ${step}u == 0u`, at: `(${shifted} / ${step}u)`, shifted };
    };
    loop(writer, 'f', outputs, (o) =>
      loop(writer, 'ky', kh, (ky) =>
        loop(writer, 'kx', kw, (kx) => {
          const i = back(y, ky, padding[0], stride[0]);
          const j = back(x, kx, padding[1], stride[1]);
          body.block(
            `if (${i.divides} && ${j.divides} && ${i.at} < ${rows}u && ${j.at} < ${columns}u)`,
            () =>
              add(
                writer.value(dy, [
                  n,
                  axisAt(outputs, o),
                  axisAt(rows, { code: i.at, max: rows - 1 }),
                  axisAt(columns, { code: j.at, max: columns - 1 }),
                ]),
                writer.value(w, [axisAt(outputs, o), c, axisAt(kh, ky), axisAt(kw, kx)]),
              ),
          );
        }),
      ),
    );
  });
}

export function plainConv2dGradWeight(at: Lowering, id: NodeId, end: NodeId): void {
  const node = at.node(id) as Node<'conv2dGradWeight'>;
  const [x, dy] = node.inputs as [NodeId, NodeId];
  const [batch, , height, width] = at.node(x).shape as [number, number, number, number];
  const [, , rows, columns] = at.node(dy).shape as [number, number, number, number];
  const { stride, padding } = node.attrs;
  serial(at, id, end, 2 * sizeOf(node.shape) * batch * rows * columns, (writer, place, add) => {
    const [o, c, ky, kx] = place as [Place[number], Place[number], Place[number], Place[number]];
    const { body } = writer;
    const taps = [body.term(coordinate(ky)), body.term(coordinate(kx))] as const;
    loop(writer, 'n', batch, (n) =>
      loop(writer, 'row', rows, (i) =>
        loop(writer, 'column', columns, (j) => {
          const y = tapped(writer, i, stride[0], taps[0], padding[0]);
          const z = tapped(writer, j, stride[1], taps[1], padding[1]);
          body.block(`if (${y.code} < ${height}u && ${z.code} < ${width}u)`, () =>
            add(
              writer.value(x, [
                axisAt(batch, n),
                c,
                axisAt(height, { code: y.code, max: height - 1 }),
                axisAt(width, { code: z.code, max: width - 1 }),
              ]),
              writer.value(dy, [axisAt(batch, n), o, axisAt(rows, i), axisAt(columns, j)]),
            ),
          );
        }),
      ),
    );
  });
}
