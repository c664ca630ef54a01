/** @file Operations that have kernels of their own: from a node to what their planners are told. */
import { internal } from '../../errors.ts';
import {
  type AnyNode,
  type Node,
  type NodeId,
  sizeOf,
  type TensorType,
} from '../../graph/types.ts';
import { epilogueOf, type MadeEpilogue } from './epilogue.ts';
import type { Epilogue, Plan, Storage, Target } from './kernel.ts';
import { planAttention, planAttentionGrad } from './kernels/attention.ts';
import {
  planConv2d,
  planConv2dGradInput,
  planConv2dGradWeight,
  type Shape4,
} from './kernels/convolution.ts';
import { type Form, plainForm } from './kernels/forms.ts';
import { type MatrixView, planMatmul } from './kernels/matmul.ts';
import {
  planGroupNorm,
  planGroupNormGrad,
  planLayerNorm,
  planLayerNormGrad,
} from './kernels/norms.ts';
import { planSoftmax, planSoftmaxGrad } from './kernels/softmax.ts';
import { planSquaredNorms } from './kernels/squaredNorms.ts';
import type { Lowering } from './lowering.ts';
import type { TensorId } from './program.ts';
import {
  plainConv2d,
  plainConv2dGradInput,
  plainConv2dGradWeight,
  plainMatmul,
} from './reductions.ts';
import { viewOf } from './views.ts';
import { type Source, windowsOf } from './writer.ts';

type At = Lowering & Source;

/** Whether one binding shows each of these tensors whole, as planned kernels need it. */
export const bindable = (at: At, tensors: readonly TensorId[]): boolean =>
  tensors.every((tensor) => windowsOf(at.tensor(tensor), at.target) === 1);

/** The tensor that holds a node's elements row-major, as they are or seen with another shape. */
export function whole(at: At, id: NodeId): TensorId {
  const { source } = viewOf(
    (n) => at.node(n),
    id,
    (n) => at.tensorOf(n) !== undefined,
  );
  return at.stored(source);
}
const storageOf = (at: At, tensor: TensorId): Storage => at.tensor(tensor).storage;

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
      storage: storageOf(at, tensor),
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
      ...{ out: storageOf(at, out), epilogue: made?.epilogue },
    },
    at.target,
    plainForm(at.target, sizeOf(node.shape) * k),
  );
  const inputs = [a.tensor, b.tensor, ...(made?.operands ?? [])];
  at.pushPlan(plan, { inputs, outputs: [out] }, node.path, made?.operations ?? 1);
}

type Conv = 'conv2d' | 'conv2dGradInput' | 'conv2dGradWeight';

/** A convolution: by `plan` where single bindings show its operands, else by its definition. */
function convolution<P extends Conv>(
  plain: (at: Lowering, id: NodeId, end: NodeId) => void,
  plan: (call: {
    readonly at: At;
    readonly node: Node<P>;
    readonly shapes: readonly [Shape4, Shape4];
    readonly storages: readonly [Storage, Storage, Storage];
    readonly epilogue: Epilogue | undefined;
    readonly form: (multiplications: number) => Form | undefined;
  }) => Plan,
): (at: At, id: NodeId, end: NodeId) => void {
  return (at, id, end) => {
    const node = at.node(id) as Node<P>;
    const operands = node.inputs.map((input) => whole(at, input)) as [TensorId, TensorId];
    const made = epilogueOf(at, id, end);
    const out = at.stored(end);
    if (!bindable(at, [...operands, out, ...(made?.operands ?? [])])) {
      plain(at, id, end);
      return;
    }
    const made_ = plan({
      at,
      node,
      shapes: node.inputs.map((input) => at.node(input).shape) as unknown as [Shape4, Shape4],
      storages: [...operands, out].map((tensor) => storageOf(at, tensor)) as [
        Storage,
        Storage,
        Storage,
      ],
      epilogue: made?.epilogue,
      form: (multiplications) => plainForm(at.target, multiplications),
    });
    const inputs = [...operands, ...(made?.operands ?? [])];
    at.pushPlan(made_, { inputs, outputs: [out] }, node.path, made?.operations ?? 1);
  };
}

export const conv2d = convolution<'conv2d'>(
  plainConv2d,
  ({ at, node, shapes: [x, w], storages: [sx, sw, so], epilogue, form }) =>
    planConv2d(
      { ...node.attrs, x, w, storage: { x: sx, w: sw, out: so }, epilogue },
      at.target,
      form(sizeOf(node.shape) * w[1] * w[2] * w[3]),
    ),
);
export const conv2dGradInput = convolution<'conv2dGradInput'>(
  plainConv2dGradInput,
  ({ at, node, shapes: [dy, w], storages: [sy, sw, so], epilogue, form }) =>
    planConv2dGradInput(
      { ...node.attrs, dy, w, storage: { dy: sy, w: sw, out: so }, epilogue },
      at.target,
      form(sizeOf(node.shape) * w[0] * w[2] * w[3]),
    ),
);
export const conv2dGradWeight = convolution<'conv2dGradWeight'>(
  plainConv2dGradWeight,
  ({ at, node, shapes: [x, dy], storages: [sx, sy, so], epilogue, form }) =>
    planConv2dGradWeight(
      { ...node.attrs, x, dy, storage: { x: sx, dy: sy, out: so }, epilogue },
      at.target,
      form(sizeOf(node.shape) * dy[0] * dy[2] * dy[3]),
    ),
);

interface CompositeCall {
  readonly at: At;
  readonly node: Node<'composite'>;
  readonly shapes: readonly (readonly number[])[];
  /** How inputs and results are stored. */
  readonly inputs: readonly Storage[];
  readonly outputs: readonly Storage[];
  readonly epilogue: Epilogue | undefined;
}

const number = ({ node }: CompositeCall, key: string): number => node.attrs.options[key] as number;

function attentionShape(call: CompositeCall) {
  const [q, k, v] = call.shapes as [number[], number[], number[]];
  const heads = number(call, 'heads');
  return {
    ...{ batch: q[0]!, heads, queries: q[1]!, keys: k[1]! },
    ...{ dim: q[2]! / heads, valueDim: v[2]! / heads },
    scale: number(call, 'scale'),
    causal: call.node.attrs.options['causal'] as boolean,
  };
}

/** Composites that have kernels, by name. */
const composites: Readonly<Record<string, (call: CompositeCall) => Plan>> = {
  softmax: (call) =>
    planSoftmax(
      {
        ...{ shape: call.shapes[0]!, axis: number(call, 'axis'), epilogue: call.epilogue },
        storage: { x: call.inputs[0]!, out: call.outputs[0]! },
      },
      call.at.target,
    ),
  softmaxGrad: (call) =>
    planSoftmaxGrad(
      {
        ...{ shape: call.shapes[0]!, axis: number(call, 'axis'), epilogue: call.epilogue },
        storage: { dy: call.inputs[0]!, y: call.inputs[1]!, out: call.outputs[0]! },
      },
      call.at.target,
    ),
  squaredNorms: (call) =>
    planSquaredNorms(
      { sizes: call.shapes.map((shape) => sizeOf(shape)), storages: call.inputs },
      call.at.target,
    ),
  layerNorm: (call) => planLayerNorm({ ...norm(call) }, call.at.target),
  groupNorm: (call) =>
    planGroupNorm({ ...norm(call), groups: number(call, 'groups') }, call.at.target),
  layerNormGrad: (call) => planLayerNormGrad(normGrad(call), call.at.target),
  groupNormGrad: (call) =>
    planGroupNormGrad({ ...normGrad(call), groups: number(call, 'groups') }, call.at.target),
  attention: (call) => {
    const [q, k, v] = call.inputs as [Storage, Storage, Storage];
    return planAttention(
      { ...attentionShape(call), storage: { q, k, v, out: call.outputs[0]! } },
      call.at.target,
    );
  },
  attentionGrad: (call) => {
    const [q, k, v, out, dout] = call.inputs as [Storage, Storage, Storage, Storage, Storage];
    const [dq, dk, dv] = call.outputs as [Storage, Storage, Storage];
    return planAttentionGrad(
      { ...attentionShape(call), storage: { q, k, v, out, dout, dq, dk, dv } },
      call.at.target,
    );
  },
};
const norm = (call: CompositeCall) => ({
  shape: call.shapes[0]!,
  eps: number(call, 'eps'),
  storage: {
    ...{ x: call.inputs[0]!, gamma: call.inputs[1]! },
    ...{ beta: call.inputs[2]!, out: call.outputs[0]! },
  },
  epilogue: call.epilogue,
});
const normGrad = (call: CompositeCall) => ({
  shape: call.shapes[1]!,
  storage: {
    ...{ dy: call.inputs[0]!, x: call.inputs[1]! },
    ...{ gamma: call.inputs[2]!, out: call.outputs[0]! },
  },
  epilogue: call.epilogue,
});

/** Whether a composite's first result may be changed before it is stored. */
export const takesEpilogue = (name: string): boolean => /^(softmax|layerNorm|groupNorm)/.test(name);

/** Whether a composite has a kernel here: one binding has to show each of its operands. */
export function hasKernel(
  { attrs: { definition, outputs } }: AnyNode & { op: 'composite' },
  inputs: readonly TensorType[],
  { bindingBytes }: Target,
): boolean {
  const fits = ({ shape }: TensorType): boolean => sizeOf(shape) * 4 <= bindingBytes;
  return definition.name in composites && [...inputs, ...outputs].every(fits);
}

/**
 * @param parts the nodes of its results, by index; undefined for those that nobody reads
 * @param end the last node of what is done to the first result
 */
export function composite(
  at: At,
  id: NodeId,
  parts: readonly (NodeId | undefined)[],
  end: NodeId | undefined,
): void {
  const node = at.node(id) as Node<'composite'>;
  const plan = composites[node.attrs.definition.name];
  if (!plan) throw internal(`no kernel for ${node.attrs.definition.name}`);
  const inputs = node.inputs.map((input) => whole(at, input));
  let made: MadeEpilogue | undefined;
  const outputs = node.attrs.outputs.map(({ shape }, k) => {
    const part = parts[k];
    if (part === undefined) return at.temporary('f32', sizeOf(shape));
    if (k > 0 || end === undefined) return at.stored(part);
    made = epilogueOf(at, part, end);
    return at.stored(end);
  });
  const steps = plan({
    ...{ at, node },
    shapes: node.inputs.map((input) => at.node(input).shape),
    inputs: inputs.map((tensor) => storageOf(at, tensor)),
    outputs: outputs.map((tensor) => storageOf(at, tensor)),
    epilogue: made?.epilogue,
  });
  const all = [...inputs, ...(made?.operands ?? [])];
  at.pushPlan(steps, { inputs: all, outputs }, node.path, made?.operations ?? 1);
}
