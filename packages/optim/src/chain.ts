import { UserError } from '@sdft/tensor';
import {
  type GradientTransform,
  joinNamed,
  type Named,
  type Optimizer,
  partOf,
} from './transform.ts';
import type { Tensor } from '@sdft/tensor';

/**
 * One optimizer: gradients go through the transforms from left to right, then into the optimizer.
 * States and numbers are prefixed with the transform's name (and its place, where a name comes twice).
 *
 *     chain(clipByGlobalNorm(1), adamw({ lr: 5e-3 }))
 *
 * @throws UserError where no optimizer stands at the end
 */
export function chain(
  ...links: readonly [...(readonly GradientTransform[]), Optimizer]
): Optimizer {
  const optimizer = links.at(-1) as Optimizer | undefined;
  if (!optimizer || !('lr' in optimizer))
    throw new UserError('chain: the last link must be an optimizer, such as adamw({ lr: 5e-3 })');
  const transforms = links.slice(0, -1) as readonly GradientTransform[];
  if (transforms.length === 0) return optimizer;
  const prefixes = links.map(({ recipe: { name } }, i) =>
    links.findIndex((other) => other.recipe.name === name) === i ? `${name}.` : `${name}#${i}.`,
  );
  const own = prefixes.at(-1)!;
  return {
    lr: optimizer.lr,
    recipe: { ...optimizer.recipe, before: transforms.map(({ recipe }) => recipe) },
    numbers: joinNamed(links.map(({ numbers }, i) => [prefixes[i]!, numbers])),
    init: (parameters) =>
      joinNamed(links.map((link, i) => [prefixes[i]!, link.init(parameters)] as const)),
    update(call) {
      let { gradients } = call;
      const state: (readonly [string, Named<Tensor>])[] = [];
      transforms.forEach((transform, i) => {
        const changed = transform.update({ ...call, gradients, ...ownOf(call, prefixes[i]!) });
        gradients = changed.gradients;
        state.push([prefixes[i]!, changed.state]);
      });
      const result = optimizer.update({ ...call, gradients, ...ownOf(call, own) });
      return { parameters: result.parameters, state: joinNamed([...state, [own, result.state]]) };
    },
  };
}

const ownOf = (
  { state, numbers }: { readonly state: Named<Tensor>; readonly numbers: Named<Tensor> },
  prefix: string,
) => ({ state: partOf(state, prefix), numbers: partOf(numbers, prefix) });
