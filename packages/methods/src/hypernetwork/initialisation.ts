/** @file First values of a module's parameters (AUTOMATIC1111 `hypernetwork.py`, `HypernetworkModule.__init__`; PyTorch `torch/nn/init.py`). */
import { constant, type Initial, normal, type Parameters, uniform, zeros } from '@sdft/pipeline';
import { type Part, shapesOf, type WeightInit } from './structure.ts';

/** Standard deviation of `Normal`, and of every LayerNorm's weight, whatever the others have. */
const STD = 0.01;

/** First values of all parameters of a module: `linear.0.weight`, ... */
export const initialModule = (
  parts: readonly Part[],
  weightInit: WeightInit,
): Parameters<Initial> =>
  Object.fromEntries(
    parts.flatMap((part, i) =>
      Object.entries(shapesOf(part)).map(([name, shape]) => [
        `linear.${i}.${name}`,
        initialOf(part, name, shape, weightInit),
      ]),
    ),
  );

function initialOf(
  part: Part,
  name: string,
  shape: readonly number[],
  weightInit: WeightInit,
): Initial {
  if (name === 'bias') return zeros(shape);
  if (part.kind === 'linear') return linearWeight(part.in, part.out, weightInit);
  // PyTorch's own start of a PReLU.
  return part.kind === 'activation' ? constant(shape, 0.25) : normal(shape, STD);
}

/** A weight [outputs, inputs]. Kaiming's gain is the square root of 2 for every activation: for `leakyrelu` A1111 asks for a slope of 0. */
function linearWeight(inputs: number, outputs: number, weightInit: WeightInit): Initial {
  const shape = [outputs, inputs];
  // The variance of a uniform distribution over -a..a is a^2 / 3.
  const within = (std: number): Initial => uniform(shape, -Math.sqrt(3) * std, Math.sqrt(3) * std);
  const kaiming = Math.sqrt(2 / inputs);
  const xavier = Math.sqrt(2 / (inputs + outputs));
  switch (weightInit) {
    case 'Normal':
      return normal(shape, STD);
    case 'KaimingUniform':
      return within(kaiming);
    case 'KaimingNormal':
      return normal(shape, kaiming);
    case 'XavierUniform':
      return within(xavier);
    case 'XavierNormal':
      return normal(shape, xavier);
  }
}
