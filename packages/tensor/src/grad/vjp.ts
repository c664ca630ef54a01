/** @file How a cotangent flows back through each primitive: one exhaustive table. */
import { failureIn, internal } from '../errors.ts';
import type { Attributes, Primitive } from '../graph/types.ts';
import { apply, Tensor } from '../trace/tensor.ts';

export interface VjpCall<P extends Primitive> {
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly cotangent: Tensor;
  readonly attrs: Attributes[P];
  /** Which inputs need a cotangent; the rule may leave out the others. */
  readonly wanted: readonly boolean[];
}
/** The cotangents of the inputs; undefined where none flows. */
export type VjpRule<P extends Primitive> = (call: VjpCall<P>) => readonly (Tensor | undefined)[];

const nothing = (): [] => [];
const elsewhere = (): never => {
  throw internal('this node is differentiated in grad.ts');
};
const reflect = (t: Tensor, condition: Tensor): Tensor => condition.where(t, 0);
/** 1 where `winner`, one half on ties, 0 elsewhere: PyTorch's convention for maximum and minimum. */
const share = (winner: Tensor, tie: Tensor, cotangent: Tensor): Tensor =>
  tie.where(cotangent.mul(0.5), reflect(cotangent, winner));

export const vjpRules: { [P in Primitive]: VjpRule<P> } = {
  input: nothing,
  weight: nothing,
  constant: nothing,
  neg: ({ cotangent: c }) => [c.neg()],
  exp: ({ cotangent: c, output }) => [c.mul(output)],
  log: ({ cotangent: c, inputs: [x] }) => [c.div(x!)],
  sqrt: ({ cotangent: c, output }) => [c.mul(0.5).div(output)],
  sin: ({ cotangent: c, inputs: [x] }) => [c.mul(x!.cos())],
  cos: ({ cotangent: c, inputs: [x] }) => [c.mul(x!.sin()).neg()],
  tanh: ({ cotangent: c, output: y }) => [c.mul(y.square().neg().add(1))],
  erf: ({ cotangent: c, inputs: [x] }) => [
    c.mul(
      x!
        .square()
        .neg()
        .exp()
        .mul(2 / Math.sqrt(Math.PI)),
    ),
  ],
  sigmoid: ({ cotangent: c, output: y }) => [c.mul(y.mul(y.neg().add(1)))],
  abs: ({ cotangent: c, inputs: [x] }) => [c.mul(x!.sign())],
  sign: nothing,
  add: ({ cotangent: c }) => [c, c],
  sub: ({ cotangent: c, wanted }) => [c, wanted[1] ? c.neg() : undefined],
  mul: ({ cotangent: c, inputs: [a, b], wanted }) => [
    wanted[0] ? c.mul(b!) : undefined,
    wanted[1] ? c.mul(a!) : undefined,
  ],
  div: ({ cotangent: c, inputs: [, b], output, wanted }) => [
    wanted[0] ? c.div(b!) : undefined,
    wanted[1] ? c.mul(output).div(b!).neg() : undefined,
  ],
  pow: ({ cotangent: c, inputs: [a, b], output, wanted }) => [
    // Exponents and bases where a slope is 0 are replaced before the infinities that they would bring, so that derivatives of higher order are finite too.
    wanted[0] ? c.mul(b!).mul(a!.pow(b!.equal(0).where(0, b!.sub(1)))) : undefined,
    wanted[1] ? c.mul(output).mul(a!.equal(0).where(b!.less(0).where(a!, 1), a!).log()) : undefined,
  ],
  maximum: ({ cotangent: c, inputs: [a, b], wanted }) => [
    wanted[0] ? share(b!.less(a!), a!.equal(b!), c) : undefined,
    wanted[1] ? share(a!.less(b!), a!.equal(b!), c) : undefined,
  ],
  minimum: ({ cotangent: c, inputs: [a, b], wanted }) => [
    wanted[0] ? share(a!.less(b!), a!.equal(b!), c) : undefined,
    wanted[1] ? share(b!.less(a!), a!.equal(b!), c) : undefined,
  ],
  less: nothing,
  equal: nothing,
  where: ({ cotangent: c, inputs: [condition], wanted }) => [
    undefined,
    wanted[1] ? condition!.where(c, 0) : undefined,
    wanted[2] ? condition!.where(0, c) : undefined,
  ],
  cast: ({ cotangent: c, inputs: [x] }) => [x!.dtype === 'f32' ? c.cast('f32') : undefined],
  reduceSum: ({ cotangent: c, inputs: [x] }) => [c.broadcastTo(x!.shape)],
  reduceMax: ({ cotangent: c, inputs: [x], output, attrs: { axes } }) => {
    // Ties share evenly, as PyTorch's amax does.
    const hits = x!.equal(output.broadcastTo(x!.shape)).cast('f32');
    return [hits.mul(c.div(hits.sum(axes, { keepDims: true })))];
  },
  matmul: ({ cotangent: c, inputs: [a, b], attrs: { transposeA, transposeB }, wanted }) => {
    const product = (p: Tensor, q: Tensor, tp: boolean, tq: boolean) =>
      apply('matmul', [p, q], { transposeA: tp, transposeB: tq });
    return [
      wanted[0]
        ? transposeA
          ? product(b!, c, transposeB, true)
          : product(c, b!, false, !transposeB)
        : undefined,
      wanted[1]
        ? transposeB
          ? product(c, a!, true, transposeA)
          : product(a!, c, !transposeA, false)
        : undefined,
    ];
  },
  conv2d: ({ cotangent: c, inputs: [x, w], attrs, wanted }) => [
    wanted[0]
      ? apply('conv2dGradInput', [c, w!], { ...attrs, size: [x!.shape[2]!, x!.shape[3]!] })
      : undefined,
    wanted[1]
      ? apply('conv2dGradWeight', [x!, c], { ...attrs, kernel: [w!.shape[2]!, w!.shape[3]!] })
      : undefined,
  ],
  conv2dGradInput: ({ cotangent: c, inputs: [dy, w], attrs: { stride, padding }, wanted }) => [
    wanted[0] ? apply('conv2d', [c, w!], { stride, padding }) : undefined,
    wanted[1]
      ? apply('conv2dGradWeight', [c, dy!], {
          stride,
          padding,
          kernel: [w!.shape[2]!, w!.shape[3]!],
        })
      : undefined,
  ],
  conv2dGradWeight: ({ cotangent: c, inputs: [x, dy], attrs: { stride, padding }, wanted }) => [
    wanted[0]
      ? apply('conv2dGradInput', [dy!, c], { stride, padding, size: [x!.shape[2]!, x!.shape[3]!] })
      : undefined,
    wanted[1] ? apply('conv2d', [x!, c], { stride, padding }) : undefined,
  ],
  reshape: ({ cotangent: c, inputs: [x] }) => [c.reshape(x!.shape)],
  permute: ({ cotangent: c, attrs: { axes } }) => {
    const inverse = new Array<number>(axes.length);
    axes.forEach((a, i) => {
      inverse[a] = i;
    });
    return [c.permute(inverse)];
  },
  broadcast: ({ cotangent: c, inputs: [x] }) => {
    const repeated = x!.shape.map((_, i) => i).filter((i) => x!.shape[i] !== c.shape[i]);
    return [c.sum(repeated, { keepDims: true })];
  },
  pad: ({ cotangent: c, inputs: [x], attrs: { low } }) => [
    apply('slice', [c], { start: low, end: low.map((l, i) => l + x!.shape[i]!) }),
  ],
  slice: ({ cotangent: c, inputs: [x], attrs: { start, end } }) => [
    apply('pad', [c], { low: start, high: end.map((e, i) => x!.shape[i]! - e) }),
  ],
  concat: ({ cotangent: c, inputs, attrs: { axis }, wanted }) => {
    let at = 0;
    return inputs.map((t, i) => {
      const from = at;
      at += t.shape[axis]!;
      return wanted[i] ? c.slice(axis, from, at) : undefined;
    });
  },
  gather: ({ cotangent: c, inputs: [table, indices] }) => [
    apply('scatterAdd', [c, indices!], { rows: table!.shape[0]! }),
    undefined,
  ],
  scatterAdd: ({ cotangent: c, inputs: [, indices] }) => [c.gather(indices!), undefined],
  stopGradient: nothing,
  barrier: ({ cotangent: c }) => [c],
  composite: elsewhere,
  part: elsewhere,
  custom: ({ inputs, cotangent, attrs: { definition } }) => {
    const { builder } = cotangent;
    if (!definition.vjp)
      throw failureIn(
        `customOp ${definition.name}`,
        builder.path,
      )(
        'a gradient has to flow through it, and it has none: give it one (gradient: (upstream, ...inputs) => [...]), or cut its inputs off with stopGradient()',
      );
    return definition
      .vjp(builder, { inputs: inputs.map(({ id }) => id), cotangent: cotangent.id })
      .map((back) => (back === undefined ? undefined : new Tensor(builder, back)));
  },
};
