import type { Needs, Objective } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';

export interface WithPriorOptions {
  /** What the loss of the class images counts, against 1 for the instances. Default 1. */
  readonly weight?: number | undefined;
}

/**
 * Prior preservation (Ruiz et al. 2022, DreamBooth, equation 2): the mean loss of the instance pictures, plus `weight` times that of the class pictures.
 *
 * @param objective one that gives the loss of each sample, such as `denoise()`
 * @throws UserError for a negative weight; when it is traced, where the inner objective gives one number for all samples
 */
export function withPrior(
  objective: Objective<Needs>,
  { weight = 1 }: WithPriorOptions = {},
): Objective<'class'> {
  if (!(weight >= 0) || !Number.isFinite(weight))
    throw new UserError(`withPrior: the weight must be a number, 0 or more, got ${weight}`);
  const prior: Objective<'class'> = (models, batch, draw) => {
    const losses = objective(models, batch, draw);
    const { instances, size } = batch;
    if (losses.rank !== 1 || instances === size)
      throw new UserError(
        `withPrior: needs the loss of each of ${size} samples, ${size - instances} of them of the class; the objective gave [${losses.shape.join(', ')}]`,
      );
    const own = losses.slice(0, 0, instances).mean();
    return own.add(losses.slice(0, instances).mean().mul(weight));
  };
  return Object.assign(prior, {
    needs: 'class' as const,
    recipe: { name: 'with-prior', weight, of: { name: objective.name, ...objective.recipe } },
  });
}
