/** @file Operations that have kernels of their own: from a node to what their planners are told. */
import { type Node, type NodeId, sizeOf } from '../../graph/types.ts';
import { epilogueOf, type MadeEpilogue } from './epilogue.ts';
import { type MatrixView, planMatmul } from './kernels/matmul.ts';
import type { Form } from './kernels/forms.ts';
import type { Plan } from './kernel.ts';
import type { Lowering } from './lowering.ts';
import type { TensorId } from './program.ts';
import { plainMatmul } from './reductions.ts';
import { viewOf } from './views.ts';
import { type Source, windowsOf } from './writer.ts';

type At = Lowering & Source;

/** Whether one binding shows each of these tensors whole, as planned kernels need it. */
const bindable = (at: At, tensors: readonly TensorId[]): boolean =>
  tensors.every((tensor) => windowsOf(at.tensor(tensor), at.target) === 1);

/** Software drivers take longer to compile a fast kernel than a plain one takes for fewer multiplications than this. */
const FAST_ON_SOFTWARE = 2 ** 23;
const formFor = ({ target }: At, multiplications: number): Form | undefined =>
  target.kind === 'software' && multiplications < FAST_ON_SOFTWARE ? { kind: 'naive' } : undefined;

/** Adds the plan's steps with what the epilogue reads. */
function push(
  at: At,
  plan: Plan,
  inputs: readonly TensorId[],
  outputs: readonly TensorId[],
  { path, made }: { readonly path: string; readonly made: MadeEpilogue | undefined },
): void {
  at.pushPlan(plan, [...inputs, ...(made?.operands ?? [])], outputs, path);
}

export function matmul(at: At, id: NodeId, end: NodeId): void {
  const node = at.node(id) as Node<'matmul'>;
  const { transposeA, transposeB } = node.attrs;
  const operand = (input: NodeId, transposed: boolean) => {
    const seen = viewOf(
      (n) => at.node(n),
      input,
      (n) => at.tensorOf(n) !== undefined,
    );
    const tensor = at.tensorOf(seen.source);
    if (tensor === undefined) return undefined;
    const { strides, offset } = seen.view;
    const [row, column] = strides.slice(-2) as [number, number];
    const view: MatrixView = {
      storage: at.tensor(tensor).storage,
      offset,
      strides: [...strides.slice(0, -2), ...(transposed ? [column, row] : [row, column])],
    };
    return { tensor, view };
  };
  const a = operand(node.inputs[0]!, transposeA);
  const b = operand(node.inputs[1]!, transposeB);
  const made = epilogueOf(at, id, end);
  const out = at.stored(end);
  if (!a || !b || !bindable(at, [a.tensor, b.tensor, out, ...(made?.operands ?? [])])) {
    plainMatmul(at, id, end);
    return;
  }
  const [m, n] = node.shape.slice(-2) as [number, number];
  const k = at.node(node.inputs[0]!).shape.at(transposeA ? -2 : -1)!;
  const batch = node.shape.slice(0, -2);
  const plan = planMatmul(
    {
      ...{ batch, m, n, k, a: a.view, b: b.view },
      ...{ out: at.tensor(out).storage, epilogue: made?.epilogue },
    },
    at.target,
    formFor(at, sizeOf(node.shape) * k),
  );
  push(at, plan, [a.tensor, b.tensor], [out], { path: node.path, made });
}
