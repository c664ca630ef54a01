/** @file Custom operations: gpu.js makes a compute shader of the function, which becomes one more kernel of the graph. */
import { sizesOf } from '../../custom/shape.ts';
import { failureIn } from '../../errors.ts';
import { type Node, type NodeId, sizeOf } from '../../graph/types.ts';
import type { Kernel, Storage } from './kernel.ts';
import type { Lowering } from './lowering.ts';
import { bindable, whole } from './planned.ts';
import type { Source } from './writer.ts';

export function custom(at: Lowering & Source, id: NodeId): void {
  const node = at.node(id) as Node<'custom'>;
  const { name } = node.attrs.definition;
  const fail = failureIn(`customOp ${name}`, node.path);
  const inputs = node.inputs.map((input) => whole(at, input));
  const out = at.stored(id);
  if (!bindable(at, [...inputs, out]))
    throw fail('one of its tensors is larger than what this device shows to a kernel at once');
  const [x, y, z] = axesOf(node.shape);
  const line = sizesOf(node.shape).length === 1;
  const [gx, gy] = at.grid(Math.ceil(x / LINE));
  const workgroups: Kernel['workgroups'] = line
    ? [gx, gy, 1]
    : [Math.ceil(x / TILE), Math.ceil(y / TILE), z];
  if (workgroups.some((n) => n > at.target.workgroups))
    throw fail(
      `a result ${String(node.shape)} has more elements along one axis than this device counts (${at.target.workgroups} groups); give it another shape`,
    );
  const storages = inputs.map((input) => at.tensor(input).storage);
  const params = [
    ...[x, y, z, gx * LINE].map((n) => `${n}u`),
    ...node.inputs.map((input) => {
      const [w, h, d] = axesOf(at.node(input).shape);
      return `vec4u(${w}u, ${h}u, ${d}u, ${w * h * d}u)`;
    }),
  ];
  const size = sizeOf(node.shape);
  const kernel: Kernel = {
    name: `custom ${name}`,
    code: withBindings(at.translated(id), params, storages),
    operands: [
      ...storages.map((storage) => ({ storage, access: 'read' as const })),
      { storage: 'f32', access: 'write' },
    ],
    workgroups,
    flops: size,
    bytes: [...inputs, out].reduce((sum, tensor) => {
      const described = at.tensor(tensor);
      return sum + described.size * (described.storage === 'f16' ? 2 : 4);
    }, 0),
  };
  const slots = [
    ...inputs.map((_, index) => ({ kind: 'input' as const, index })),
    { kind: 'output' as const, index: 0 },
  ];
  at.pushPlan(
    { steps: [{ kernel, slots }], scratch: [] },
    { inputs, outputs: [out] },
    node.path,
    1,
  );
}

/** Invocations of gpu.js's workgroups, along a line or along each side of a tile. */
const LINE = 64;
const TILE = 8;

const axesOf = (shape: readonly number[]): [number, number, number] => {
  const [x = 1, y = 1, z = 1] = sizesOf(shape);
  return [x, y, z];
};

/** gpu.js's shader with our bindings: sizes as constants, and tensors as they are stored. Where the function ends without a return, the element is 0, as in WebAssembly. */
export function withBindings(
  shader: string,
  params: readonly string[],
  storages: readonly Storage[],
): string {
  const bound = shader
    .replace(
      /^@group\(0\) @binding\(0\) var<uniform> params : Params;$/m,
      `const params = Params(${params.join(', ')});`,
    )
    .replace(
      /^@group\(0\) @binding\((\d+)\) var<storage, read(?:_write)?> (\w+) : array<f32>;$/gm,
      (_, binding: string, name: string) => {
        const at = Number(binding) - 1;
        return `@group(0) @binding(${at}) var<storage, read_write> ${name} : array<${storages[at] ?? 'f32'}>;`;
      },
    )
    .replace(/^ {2}return (user_\w+\[.*\]);$/gm, '  return f32($1);')
    .replace(/^( {2}let data_index : i32 = .*;)$/m, '$1\n  result[data_index] = 0.0;');
  return storages.includes('f16') ? `enable f16;\n${bound}` : bound;
}
