/** @file What a network consists of, found by tracing it. */
import { type Shape, trace } from '@sdft/tensor';
import { type Layer, Scope } from './scope.ts';

/** Every layer that `body` runs below the path `root`, each once, in order. `body` traces the network on inputs of any size. */
export function layersOf(root: string, body: (scope: Scope) => void): readonly Layer[] {
  const layers = new Map<string, Layer>();
  trace((tracer) => {
    body(
      new Scope(tracer, root, {
        wrap: (layer, apply, frozen) => {
          layers.set(layer.path, layer);
          return (x) => apply(x, frozen);
        },
      }),
    );
    return { outputs: {} };
  });
  return [...layers.values()];
}

/** The same list for the same configuration, which is traced once. */
export function once<C extends object>(
  list: (config: C) => readonly Layer[],
): (config: C) => readonly Layer[] {
  const known = new WeakMap<C, readonly Layer[]>();
  return (config) => {
    const layers = known.get(config) ?? list(config);
    known.set(config, layers);
    return layers;
  };
}

/** Shapes of the layers' parameters by their full names, as checkpoints hold them. */
export const parametersOf = (layers: readonly Layer[]): ReadonlyMap<string, Shape> =>
  new Map(
    layers.flatMap(({ path, parameters }) =>
      Object.entries(parameters).map(([name, shape]) => [`${path}.${name}`, shape] as const),
    ),
  );
