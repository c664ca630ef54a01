/** @file Operations of the researcher's own: a function written in JavaScript that says what one element of the result is. */
import { failureIn, UserError } from '../errors.ts';
import {
  type CustomDefinition,
  type KernelInput,
  type KernelThis,
  type Shape,
  sameShape,
  showShape,
} from '../graph/types.ts';
import { apply, Tensor } from '../trace/tensor.ts';
import { sourceOf } from './source.ts';

export interface CustomOp<C extends Readonly<Record<string, number>>> {
  /** What messages call it. */
  readonly name: string;
  /** The shape of the result, from the inputs (their shapes). */
  readonly output: (...inputs: Tensor[]) => Shape;
  /**
   * One element of the result, at `this.thread`; as gpu.js has it: numbers, `Math`, loops and branches, `this.output`, `this.constants`, and `functions`. It sees nothing else of
   * the program around it. Inputs are nested arrays, `x[row][column]` of a tensor [rows, columns]. Of tensors with more than three axes, inputs and result alike, the first are
   * joined: [N, C, H, W] is seen as [N C, H, W]; a tensor without axes as one with a single element. Past the end of a tensor nothing can be read.
   */
  // A method, so that each kernel may say how many axes its inputs have.
  kernel(this: KernelThis<C>, ...inputs: KernelInput[]): number;
  /** Numbers that the kernel finds in `this.constants`. */
  readonly constants?: C;
  /** Functions of numbers that the kernel calls by their names. */
  readonly functions?: readonly ((...values: number[]) => number)[];
  /**
   * The cotangent of each input, of its shape, or undefined where none flows; `upstream` is that of the result. Made of operations on tensors, custom ones among them.
   * Absent: the operation cannot be differentiated.
   */
  readonly gradient?: (upstream: Tensor, ...inputs: Tensor[]) => readonly (Tensor | undefined)[];
}

/**
 * A function on tensors, f32 in and out, that computes `kernel` for each element of its result. It can stand in whatever is traced: what an adapter wraps, an objective, a gradient. The
 * `reference` backend calls it as it is, in double precision; the others run what gpu.js makes of it, in single precision.
 *
 * @throws UserError where the kernel is no plain function, and at each call where inputs or the shape of the result do not fit
 */
export function customOp<C extends Readonly<Record<string, number>>>({
  name,
  output,
  kernel,
  constants = {} as C,
  functions = [],
  gradient,
}: CustomOp<C>): (...inputs: Tensor[]) => Tensor {
  const wrong = (why: string): UserError => new UserError(`customOp ${name}: ${why}`);
  if (typeof name !== 'string' || name === '') throw new UserError('customOp: it needs a name');
  if (typeof output !== 'function')
    throw wrong('output must be a function of the inputs that gives a shape');
  const source = sourceOf(kernel, wrong);
  const helpers = functions.map((helper) => ({
    name: helper.name,
    source: sourceOf(helper, (why) => wrong(`functions: ${why}`)),
  }));
  for (const [key, value] of Object.entries(constants))
    if (typeof value !== 'number')
      throw wrong(`the constant ${key} is no number; give arrays as inputs`);
  if (kernel.length === 0) throw wrong('the kernel takes no inputs; it needs at least one');

  const definition: CustomDefinition = {
    name,
    kernel: kernel as CustomDefinition['kernel'],
    source,
    functions: helpers,
    constants: { ...constants },
    ...(gradient && {
      vjp: (builder, call) => {
        const fail = failureIn(`customOp ${name}`, builder.path);
        const inputs = call.inputs.map((id) => new Tensor(builder, id));
        const cotangents: unknown = gradient(new Tensor(builder, call.cotangent), ...inputs);
        if (!Array.isArray(cotangents) || cotangents.length !== inputs.length)
          throw fail(
            `its gradient must give ${inputs.length} tensors, one for each input, or undefined in place of one`,
          );
        return cotangents.map((cotangent: unknown, i) => {
          if (cotangent === undefined) return undefined;
          if (!(cotangent instanceof Tensor) || !sameShape(cotangent.shape, inputs[i]!.shape))
            throw fail(
              `its gradient gives ${cotangent instanceof Tensor ? showShape(cotangent.shape) : String(cotangent)} for input ${i}, which is ${showShape(inputs[i]!.shape)}`,
            );
          return cotangent.id;
        });
      },
    }),
  };

  return (...tensors) => {
    if (tensors.length !== kernel.length || !tensors.every((input) => input instanceof Tensor))
      throw wrong(
        `takes ${kernel.length} tensors, as its kernel does; got ${tensors.length} arguments${tensors.length === kernel.length ? ', not all of them tensors' : ''}`,
      );
    const fail = failureIn(`customOp ${name}`, tensors[0]!.builder.path);
    tensors.forEach(({ dtype }, i) => {
      if (dtype !== 'f32') throw fail(`input ${i} is ${dtype}; cast it to f32 first`);
    });
    const shape: unknown = output(...tensors);
    if (!Array.isArray(shape) || !shape.every((d) => Number.isInteger(d) && d >= 1))
      throw fail(
        `output must give a shape, integers from 1 upward; got ${Array.isArray(shape) ? showShape(shape as number[]) : String(shape)}`,
      );
    return apply('custom', tensors, { definition, shape: [...(shape as number[])] });
  };
}
