import type { Primitive } from '../graph/types.ts';

/** The primitives that compute each element from the elements at the same place. */
export const elementwise: ReadonlySet<Primitive> = new Set<Primitive>([
  'neg',
  'exp',
  'log',
  'sqrt',
  'sin',
  'cos',
  'tanh',
  'erf',
  'sigmoid',
  'abs',
  'sign',
  'add',
  'sub',
  'mul',
  'div',
  'pow',
  'maximum',
  'minimum',
  'less',
  'equal',
  'where',
  'cast',
]);
