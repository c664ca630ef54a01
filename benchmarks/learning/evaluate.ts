/** @file How well what was learned serves pictures that nobody trained on: one measure, by sdft, for the results of both sides. */
import { cpu, learnedKinds, openBase, validationLoss } from '@sdft/methods';
import { type Method, resolution } from './methods.ts';

/**
 * The validation loss of the kept-back pictures, at fixed noise and timesteps, with captions by the rule of the method.
 *
 * @param result what was learned; undefined: nothing yet
 */
export async function lossOf(
  method: Method,
  base: string,
  keptBack: string,
  result?: string,
): Promise<number> {
  const whole = method.opens === 'base' && result !== undefined;
  const opened = await openBase(whole ? result : base);
  const learned =
    result === undefined || whole ? [] : [await learnedKinds[method.opens]!.open(result, opened)];
  return validationLoss(opened, learned, {
    images: keptBack,
    template: method.template,
    resolution,
    backend: cpu(),
    ...(result === undefined && { name: method.nameBefore }),
  });
}
