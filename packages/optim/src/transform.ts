/** @file What changes gradients, and what turns them into new parameters: traced functions with states, that chain. */
import type { Shape, Tensor, TensorType } from '@sdft/tensor';
import type { Schedule, ScheduledNumber } from './schedule.ts';

/** Values by the name of the parameter (or state) that they belong to. */
export type Named<T> = Readonly<Record<string, T>>;

/** A transform as plain data: its name and the settings that it was given, as a recipe file holds them. */
export interface TransformRecipe {
  readonly name: string;
  readonly [setting: string]: unknown;
}

/** A transform's name with the settings that are not left out. */
export const recipeOf = (name: string, options: object): TransformRecipe => ({
  name,
  ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
});

/** What a transform sees at one optimizer step. Everything is f32. */
export interface UpdateCall {
  readonly gradients: Named<Tensor>;
  readonly parameters: Named<Tensor>;
  /** The present values of this transform's states. */
  readonly state: Named<Tensor>;
  /** The present values of this transform's `numbers`, [] each. */
  readonly numbers: Named<Tensor>;
  /** The learning rate of each parameter, [] each. */
  readonly lr: Named<Tensor>;
  /** Weight decay of single parameters, where it is not the optimizer's own. */
  readonly weightDecay?: Named<number>;
}

interface Stateful {
  readonly recipe: TransformRecipe;
  /** Numbers that change from step to step. They are evaluated in double precision on the host and enter the graph as tensors, never baked in. */
  readonly numbers: Named<Schedule>;
  /** The states for parameters of these shapes, f32 where only a shape is said. Every state starts as zeros. */
  init(parameters: Named<Shape>): Named<Shape | TensorType>;
}

/** Changes gradients on their way to the optimizer, such as clipping. */
export interface GradientTransform extends Stateful {
  /** New gradients and the next value of every state. */
  update(call: UpdateCall): {
    readonly gradients: Named<Tensor>;
    readonly state: Named<Tensor>;
  };
}

/** Turns gradients into new parameters. */
export interface Optimizer extends Stateful {
  /** The learning rate, which schedules multiply; or rates as A1111 writes them (`5e-3:100, 1e-3:1000`), or a schedule of the optimizer's own. */
  readonly lr: ScheduledNumber | Schedule;
  /** New parameters and the next value of every state. */
  update(call: UpdateCall): {
    readonly parameters: Named<Tensor>;
    readonly state: Named<Tensor>;
  };
}

/** A state's type, f32 where only a shape is said. */
export const stateType = (state: Shape | TensorType): TensorType =>
  'dtype' in state ? state : { shape: state, dtype: 'f32' };

/** A parameter after decoupled weight decay: times 1 - `rate` `decay` (Loshchilov and Hutter 2019). `decay` 0 leaves no trace in the graph. */
export const decayed = (parameter: Tensor, rate: Tensor, decay: number): Tensor =>
  decay === 0 ? parameter : parameter.mul(rate.mul(-decay).add(1));

/** The same record with each value changed. */
export const mapNamed = <A, B>(
  record: Named<A>,
  change: (value: A, name: string) => B,
): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value, name)]));

/** Records joined into one, each name with its record's prefix. */
export const joinNamed = <T>(
  records: readonly (readonly [prefix: string, Named<T>])[],
): Record<string, T> =>
  Object.fromEntries(
    records.flatMap(([prefix, record]) =>
      Object.entries(record).map(([name, value]) => [`${prefix}${name}`, value] as const),
    ),
  );

/** The part of a joined record that has this prefix, without it. */
export const partOf = <T>(record: Named<T>, prefix: string): Record<string, T> =>
  Object.fromEntries(
    Object.entries(record).flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
    ),
  );
