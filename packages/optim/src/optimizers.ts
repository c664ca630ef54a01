/** @file Every optimizer by its name: what recipes and flags can say of it. */
import { nearest, UserError } from '@sdft/tensor';
import { adafactor, adafactorSettings } from './adafactor.ts';
import { adamw, adamwSettings } from './adamw.ts';
import { adamw8bit, adamw8bitSettings } from './adamw8bit.ts';
import { lion, lionSettings } from './lion.ts';
import { prodigy, prodigySettings } from './prodigy.ts';
import { sgd, sgdSettings } from './sgd.ts';
import type { Settings } from './settings.ts';
import type { Optimizer, TransformRecipe } from './transform.ts';

/** An optimizer that can be named. */
export interface OptimizerKind {
  /** One line for people. */
  readonly summary: string;
  /** Its settings beside `lr`. */
  readonly settings: Settings;
  /** Whether it cannot do without a learning rate. */
  readonly needsRate: boolean;
}

const entry = <O, K extends OptimizerKind>(make: (options: O) => Optimizer, kind: K) => ({
  make,
  ...kind,
});

const entries = {
  adamw: entry(adamw, {
    summary: "Adam with decoupled weight decay, PyTorch's",
    settings: adamwSettings,
    needsRate: true,
  }),
  adamw8bit: entry(adamw8bit, {
    summary: 'adamw with its state in 8 bits, a quarter of the size; slow on cpu',
    settings: adamw8bitSettings,
    needsRate: true,
  }),
  lion: entry(lion, {
    summary: 'the sign of the mean gradient; half the state of adamw',
    settings: lionSettings,
    needsRate: true,
  }),
  adafactor: entry(adafactor, {
    summary: 'squared gradients as means of rows and columns: almost no state; needs no lr',
    settings: adafactorSettings,
    needsRate: false,
  }),
  prodigy: entry(prodigy, {
    summary: 'Adam that finds its step size; leave lr at 1, which is the default',
    settings: prodigySettings,
    needsRate: false,
  }),
  sgd: entry(sgd, {
    summary: 'stochastic gradient descent, with or without momentum',
    settings: sgdSettings,
    needsRate: true,
  }),
} as const;

export type OptimizerName = keyof typeof entries;

/** The settings that some optimizer has, `lr` aside. */
export type OptimizerSetting = {
  [N in OptimizerName]: keyof (typeof entries)[N]['settings'];
}[OptimizerName];

/** Optimizers by name. */
export const optimizers: Readonly<Record<OptimizerName, OptimizerKind>> = entries;

/** Throws UserError, with the nearest name, where there is none. */
function kindOf(name: string): OptimizerKind {
  if (Object.hasOwn(entries, name)) return entries[name as OptimizerName];
  const close = nearest(name, Object.keys(entries))!;
  throw new UserError(
    `there is no optimizer called "${name}"; did you mean ${close}? There are ${Object.keys(entries).join(', ')}`,
  );
}

/**
 * The optimizer with this name and these settings.
 *
 * @throws UserError where there is none of that name, a learning rate is missing that it needs, or settings are unknown or out of range
 */
export function optimizerNamed({ name, ...options }: TransformRecipe): Optimizer {
  const { needsRate } = kindOf(name);
  if (needsRate && options['lr'] === undefined)
    throw new UserError(`${name}: there is no learning rate; say lr, such as 1e-4`);
  // Each checks its options itself.
  return entries[name as OptimizerName].make(options as never);
}
