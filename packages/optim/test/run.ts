/** @file An optimizer at work, on any backend. */
import { type Backend, type HostArray, hostArray, trace } from '@sdft/tensor';
import { globalNorm, type Optimizer, stateType } from '../src/index.ts';

type Shapes = Readonly<Record<string, readonly number[]>>;
type Values = Readonly<Record<string, ArrayLike<number>>>;

export const scalar = (value: number): HostArray =>
  hostArray(Float32Array.of(value), []) as HostArray;

/** An optimizer over parameters of these shapes as a compiled graph; called with a step's gradients, it gives their norm and the new parameters. */
export async function compiled(
  backend: Backend,
  optimizer: Optimizer,
  shapes: Shapes,
  start: Values,
) {
  const names = Object.keys(shapes);
  const array = (name: string, values: ArrayLike<number>): HostArray =>
    hostArray(Float32Array.from(values), shapes[name]!) as HostArray;
  const states = optimizer.init(shapes);
  const graph = trace((t) => {
    const each = <T>(make: (name: string) => T) =>
      Object.fromEntries(names.map((name) => [name, make(name)]));
    const lr = t.input('lr', []);
    const given = each((name) => t.input(`gradient ${name}`, shapes[name]!));
    const { parameters, state } = optimizer.update({
      gradients: given,
      parameters: each((name) => t.state(name, shapes[name]!)),
      state: Object.fromEntries(
        Object.entries(states).map(([name, state]) => {
          const { shape, dtype } = stateType(state);
          return [name, t.state(`state ${name}`, shape, dtype)];
        }),
      ),
      numbers: Object.fromEntries(
        Object.keys(optimizer.numbers).map((name) => [name, t.input(`number ${name}`, [])]),
      ),
      lr: each(() => lr),
    });
    return {
      outputs: { norm: globalNorm(given), ...parameters },
      updates: {
        ...parameters,
        ...Object.fromEntries(Object.entries(state).map(([name, next]) => [`state ${name}`, next])),
      },
    };
  });
  const executable = await backend.compile(graph, {
    state: Object.fromEntries(names.map((name) => [name, array(name, start[name]!)])),
  });
  const run = (step: number, lr: number, given: Values) =>
    executable.run({
      lr: scalar(lr),
      ...Object.fromEntries(names.map((name) => [`gradient ${name}`, array(name, given[name]!)])),
      ...Object.fromEntries(
        Object.entries(optimizer.numbers).map(([name, schedule]) => [
          `number ${name}`,
          scalar(schedule.at(step)),
        ]),
      ),
    });
  return { run, executable };
}
