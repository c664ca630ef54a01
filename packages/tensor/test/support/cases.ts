/** @file From cases to the graphs that compute them. */
import { Tensor, trace, type Tracer } from '../../src/index.ts';
import { grad } from '../../src/grad/grad.ts';
import type { Attributes, Graph, Primitive } from '../../src/graph/types.ts';
import { apply } from '../../src/trace/tensor.ts';
import { type Case, readCases } from './fixtures.ts';
import { functions } from './functions.ts';

/** A case and what it computes, from its inputs. */
export interface Example extends Case {
  readonly compute: (t: Tracer, inputs: Tensor[]) => Tensor[];
}

function primitive({ op, options, inputs, name }: Case): Example['compute'] {
  if (op === 'input') return (_, xs) => xs;
  if (op === 'weight') return (t) => [t.weight(name, inputs[0]!.shape)];
  if (op === 'constant') {
    const { data, type } = options as unknown as Attributes['constant'];
    return (t) => [t.constant(data, type.shape, type.dtype)];
  }
  if (op === 'pow' && 'exponent' in options)
    return (t, [x]) => [x!.pow(t.constant(options.exponent as number[]))];
  return (_, xs) => [apply(op as Primitive, xs, options as Attributes[Primitive])];
}

const namedFunction =
  ({ op, options }: Case): Example['compute'] =>
  (_, xs) => {
    const results = functions[op]!(xs, options);
    return results instanceof Tensor ? [results] : results;
  };

export const primitiveExamples: readonly Example[] = readCases('primitives').map((c) => ({
  ...c,
  compute: primitive(c),
}));
export const functionExamples: readonly Example[] = readCases('functions').map((c) => ({
  ...c,
  compute: namedFunction(c),
}));

export const inputsOf = ({ name, inputs }: Case, t: Tracer): Tensor[] =>
  inputs.map(({ shape, dtype }, k) => t.input(`${name}/in.${k}`, shape, dtype));

/** sum(result * cotangent) over the results, with cotangents as inputs. */
export function weightedSum(t: Tracer, { name }: Case, results: readonly Tensor[]): Tensor {
  return results
    .map((result, k) => result.mul(t.input(`${name}/cotangent.${k}`, result.shape)).sum())
    .reduce((a, b) => a.add(b));
}

/** Every example's results as NAME/out.K and, where it has them, gradients as NAME/grad.K; inputs are NAME/in.K and NAME/cotangent.K. */
export const graphOf = (examples: readonly Example[]): Graph =>
  trace((t) => {
    const outputs: Record<string, Tensor> = {};
    for (const example of examples) {
      const inputs = inputsOf(example, t);
      const results = example.compute(t, inputs);
      results.forEach((result, k) => {
        outputs[`${example.name}/out.${k}`] = result;
      });
      if (example.gradients.length === 0) continue;
      const wrt = inputs.flatMap((x, k) => (x.dtype === 'f32' ? [k] : []));
      const gradients = grad(
        weightedSum(t, example, results),
        wrt.map((k) => inputs[k]!),
      );
      gradients.forEach((g, i) => {
        outputs[`${example.name}/grad.${wrt[i]}`] = g;
      });
    }
    return { outputs };
  });
