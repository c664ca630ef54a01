/** @file How each primitive is spelled in the source of an update kernel: one exhaustive table. What has no spelling ends a kernel. */
import type { Attributes, Primitive } from '../../../graph/types.ts';

/** Values of one element: f32 as a number rounded to float32, bool as true or false. */
type Spelling<A> = (operands: readonly string[], attrs: A) => string;

/** Rounded as float32 arithmetic rounds. */
const f32 = (expression: string): string => `f(${expression})`;
const unary =
  (spell: (x: string) => string): Spelling<object> =>
  ([x]) =>
    f32(spell(x!));
const binary =
  (operator: string): Spelling<object> =>
  ([a, b]) =>
    f32(`${a!} ${operator} ${b!}`);
const call = (name: string): Spelling<object> => unary((x) => `Math.${name}(${x})`);
const same: Spelling<unknown> = ([x]) => x!;

export const expressions: { readonly [P in Primitive]: Spelling<Attributes[P]> | undefined } = {
  neg: unary((x) => `-${x}`),
  exp: call('exp'),
  log: call('log'),
  sqrt: call('sqrt'),
  sin: call('sin'),
  cos: call('cos'),
  tanh: call('tanh'),
  sigmoid: unary((x) => `1 / (1 + Math.exp(-${x}))`),
  abs: call('abs'),
  sign: call('sign'),
  add: binary('+'),
  sub: binary('-'),
  mul: binary('*'),
  div: binary('/'),
  maximum: ([a, b]) => f32(`Math.max(${a}, ${b})`),
  minimum: ([a, b]) => f32(`Math.min(${a}, ${b})`),
  less: ([a, b]) => `(${a} < ${b})`,
  equal: ([a, b]) => `(${a} === ${b})`,
  where: ([condition, a, b]) => `(${condition} ? ${a} : ${b})`,
  stopGradient: same,

  // They mean another number of elements, other elements, or what is worth no kernel.
  input: undefined,
  weight: undefined,
  constant: undefined,
  erf: undefined,
  pow: undefined,
  cast: undefined,
  reduceSum: undefined,
  reduceMax: undefined,
  matmul: undefined,
  conv2d: undefined,
  conv2dGradInput: undefined,
  conv2dGradWeight: undefined,
  reshape: undefined,
  permute: undefined,
  broadcast: undefined,
  pad: undefined,
  slice: undefined,
  concat: undefined,
  gather: undefined,
  scatterAdd: undefined,
  barrier: undefined,
  composite: undefined,
  part: undefined,
  custom: undefined,
};
