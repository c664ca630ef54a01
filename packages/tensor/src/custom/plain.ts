/** @file A custom operation as it is written: the function called for each element, in double precision. */
import { failureIn } from '../errors.ts';
import type { KernelInput, Node, TensorType } from '../graph/types.ts';
import { seenBy } from './shape.ts';

type Numbers = Float64Array;

/** The elements of a custom operation's result. Throws UserError, naming it, where the function fails or gives something else than a number. */
export function callForEach(
  { attrs: { definition }, shape, path }: Pick<Node<'custom'>, 'attrs' | 'shape' | 'path'>,
  inputs: readonly (Pick<TensorType, 'shape'> & { readonly data: Numbers })[],
): Numbers {
  const { name, kernel, constants } = definition;
  const fail = failureIn(`customOp ${name}`, path);
  const [width = 1, height = 1, depth = 1] = seenBy(shape).reverse();
  const nested = inputs.map((input) => nest(input.data, seenBy(input.shape)));
  const out = new Float64Array(width * height * depth);
  const thread = { x: 0, y: 0, z: 0 };
  const self = { thread, output: { x: width, y: height, z: depth }, constants };
  for (let at = 0, z = 0; z < depth; z++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++, at++) {
        Object.assign(thread, { x, y, z });
        let value: unknown;
        try {
          value = kernel.apply(self, nested);
        } catch (error) {
          throw fail(`the kernel fails at element ${at}: ${String(error)}`);
        }
        if (typeof value !== 'number')
          throw fail(
            `the kernel must return a number; at element ${at} it returns ${String(value)}`,
          );
        out[at] = value;
      }
  return out;
}

function nest(data: Numbers, shape: readonly number[]): KernelInput {
  if (shape.length === 1) return data as unknown as number[];
  const length = data.length / shape[0]!;
  return Array.from({ length: shape[0]! }, (_, i) =>
    nest(data.subarray(i * length, (i + 1) * length), shape.slice(1)),
  ) as number[][];
}
