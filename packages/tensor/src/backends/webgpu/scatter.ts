/** @file Sums of rows by their numbers, the same at every run: a row is added up by the first of the updates that go to it. */
import { type Node, type NodeId, sizeOf } from '../../graph/types.ts';
import { type Lowering, map } from './lowering.ts';
import { axisAt, placeAt, variable, reshaped } from './places.ts';

export function scatterAdd(at: Lowering, id: NodeId): void {
  const node = at.node(id) as Node<'scatterAdd'>;
  const [updates, indices] = node.inputs as [NodeId, NodeId];
  const { rows } = node.attrs;
  const width = sizeOf(node.shape) / rows;
  const { shape } = at.node(indices);
  const count = sizeOf(shape);
  const isFloat = node.dtype === 'f32';

  map(at, id, `zeros`, () => (isFloat ? '0f' : '0i'));

  const writer = at.writer([]);
  writer.computes(id);
  const { body } = writer;
  const threads = at.lineSize;
  const size = count * width;
  const index = (n: string) => writer.value(indices, placeAt(shape, variable(n, count)));
  body.line(`let i = (group.y * groups.x + group.x) * ${threads}u + local.x;`);
  body.line(`if (i >= ${size}u) { return; }`);
  body.line(`let own = i / ${width}u;`);
  body.line(`let column = i % ${width}u;`);
  const row = index('own');
  writer.checkRow(id, row, rows);
  body.line(`if (${row} < 0i || ${row} >= ${rows}i) { return; }`);
  body.block('for (var n = 0u; n < own; n++)', () => {
    body.line(`if (${index('n')} == ${row}) { return; }`);
  });
  body.line(`var acc = ${isFloat ? '0f' : '0i'};`);
  body.block(`for (var m = own; m < ${count}u; m++)`, () => {
    const other = index('m');
    body.block(`if (${other} == ${row})`, () => {
      const place = [
        ...reshaped([axisAt(count, variable('m', count))], shape, body.term),
        ...reshaped([axisAt(width, variable('column', width))], node.shape.slice(1), body.term),
      ];
      body.line(`acc = acc + ${writer.value(updates, place)};`);
    });
  });
  writer.storeTensor(at.stored(id), `u32(${row}) * ${width}u + column`, 'acc');
  const [gx, gy] = at.grid(Math.ceil(size / threads));
  at.push(
    writer.finish({
      name: 'scatterAdd',
      workgroup: [threads, 1],
      workgroups: [gx, gy, 1],
      flops: size,
      path: node.path,
    }),
  );
}
