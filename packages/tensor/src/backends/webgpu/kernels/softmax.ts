/** @file Softmax along any axis and its gradient, as src/composites/attention.ts defines them. Sums are f32. */
import type { Epilogue, Plan, Storage, Target } from '../kernel.ts';
import { reduction } from './reduce.ts';
import {
  asFloat,
  asStored,
  ceilDiv,
  epilogueOperands,
  finish,
  type Operand,
  step,
} from './wgsl.ts';

export interface Softmax {
  readonly shape: readonly number[];
  readonly axis: number;
  readonly storage: { readonly x: Storage; readonly out: Storage };
  readonly epilogue?: Epilogue | undefined;
}
export interface SoftmaxGrad {
  readonly shape: readonly number[];
  readonly axis: number;
  readonly storage: { readonly dy: Storage; readonly y: Storage; readonly out: Storage };
  readonly epilogue?: Epilogue | undefined;
}

/** Input x and the epilogue's operands; output y. */
export const planSoftmax = ({ shape, axis, storage, epilogue }: Softmax, target: Target): Plan => {
  const x = asFloat(storage.x, 'x[at]');
  return planRows(
    {
      name: 'softmax',
      shape,
      axis,
      inputs: [['x', storage.x]],
      out: storage.out,
      epilogue,
      // Of a row of which nothing counts all are alike: masks are large finite numbers.
      before: ({ each, largest, total }) => `var most = -3.4e38;
${each(`most = max(most, ${x});`)}
let top = ${largest('most')};
var sum = 0.0;
${each(`sum += exp(${x} - top);`)}
let whole = ${total('sum')};`,
      value: `(exp(${x} - top) / whole)`,
      flops: 5,
    },
    target,
  );
};

/** Inputs dy, y and the epilogue's operands; output dx. */
export const planSoftmaxGrad = (
  { shape, axis, storage, epilogue }: SoftmaxGrad,
  target: Target,
): Plan => {
  const [dy, y] = [asFloat(storage.dy, 'dy[at]'), asFloat(storage.y, 'y[at]')];
  return planRows(
    {
      name: 'softmax grad',
      shape,
      axis,
      inputs: [
        ['dy', storage.dy],
        ['y', storage.y],
      ],
      out: storage.out,
      epilogue,
      before: ({ each, total }) => `var sum = 0.0;
${each(`sum = fma(${dy}, ${y}, sum);`)}
let whole = ${total('sum')};`,
      value: `((${dy} - whole) * ${y})`,
      flops: 4,
    },
    target,
  );
};

interface RowWise {
  readonly name: string;
  readonly shape: readonly number[];
  readonly axis: number;
  readonly inputs: readonly (readonly [string, Storage])[];
  readonly out: Storage;
  readonly epilogue: Epilogue | undefined;
  /** What is known of a row before its results: `each` goes through its elements, whose numbers are `at`. */
  readonly before: (row: {
    each: (body: string) => string;
    largest: (value: string) => string;
    total: (value: string) => string;
  }) => string;
  readonly value: string;
  /** Per element. */
  readonly flops: number;
}

/** Rows along the last axis go to a workgroup each; along another axis to an invocation each, which are neighbours in memory. */
function planRows(rows: RowWise, target: Target): Plan {
  const { name, shape, axis, inputs, out, epilogue, before, value, flops } = rows;
  const length = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const size = shape.reduce((a, b) => a * b, 1);
  const count = size / length;
  const shares = inner === 1;
  const single = target.kind === 'software' ? 8 : 64;
  const { invocations, enable, declarations, shared } = shares
    ? reduction(length, target)
    : { invocations: single, enable: [], declarations: '', shared: 0 };
  const operands: Operand[] = [
    ...inputs.map(
      ([name, storage], index): Operand => ({
        name,
        storage,
        access: 'read',
        slot: { kind: 'input', index },
        size,
      }),
    ),
    { name: 'result', storage: out, access: 'write', slot: { kind: 'output', index: 0 }, size },
    ...epilogueOperands(epilogue, inputs.length),
  ];
  const each = (body: string) =>
    shares
      ? `for (var i = lane; i < ${length}u; i += ${invocations}u) { let at = start + i; ${body} }`
      : `for (var i = 0u; i < ${length}u; i++) { let at = start + i * ${inner}u; ${body} }`;
  return {
    steps: [
      step(
        {
          name: `${name}${shares ? '' : ' of columns'}`,
          operands,
          enable,
          declarations,
          shared,
          invocations,
          groups: shares ? count : ceilDiv(count, invocations),
          body: `${
            shares
              ? `let start = id * ${length}u;`
              : `let row = id * ${invocations}u + lane;
if (row >= ${count}u) { return; }
let start = row / ${inner}u * ${inner * length}u + row % ${inner}u;`
          }
${before({
  each,
  largest: (v) => (shares ? `largest(lane, ${v})` : v),
  total: (v) => (shares ? `total(lane, ${v})` : v),
})}
${each(`result[at] = ${asStored(out, finish(epilogue, value, 'at'))};`)}`,
          flops: size * flops,
        },
        target,
      ),
    ],
    scratch: [],
  };
}
