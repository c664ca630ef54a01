/** @file A training step of the classifier as a graph. */
import {
  CLASSIFIER,
  type ClassifierConfig,
  classifierNetwork,
  classifierShapes,
} from '@sdft/compare';
import { Scope } from '@sdft/models';
import { type Ema, type Optimizer, stateType } from '@sdft/optim';
import { type Draws, grad, type Graph, type HostArray, type Tensor, trace } from '@sdft/tensor';

/** How much the answer that there are few of counts against the one that there are many of. */
const ARTIST_WEIGHT = 2;

/** The states that hold the running averages of weights. */
export const averageOf = (name: string): string => `average ${name}`;

/** Inputs: what Batches gives, `lr`, `ema.rate` and the optimizer's numbers. Outputs: the loss of each head. States: weights by their names, their averages, the optimizer's. */
export function stepGraph(
  config: ClassifierConfig,
  batch: number,
  optimizer: Optimizer,
  average: Ema,
): Graph {
  const shapes = Object.fromEntries(classifierShapes(config));
  const names = Object.keys(shapes);
  const each = <T>(make: (name: string, i: number) => T): Record<string, T> =>
    Object.fromEntries(names.map((name, i) => [name, make(name, i)]));
  return trace((t) => {
    const parameters = each((name) => t.state(name, shapes[name]!));
    const scope = new Scope(t, CLASSIFIER, {
      wrap: (layer, apply) => (x) => apply(x, (name) => parameters[`${layer.path}.${name}`]!),
    });
    const { side } = config;
    const verdicts = classifierNetwork(scope, config, t.input('pixels', [batch, 3, side, side]));
    const lossOf = (head: 'artist' | 'concept'): Tensor => {
      const answers = t.input(head, verdicts[head].shape);
      return logSoftmax(verdicts[head]).mul(answers).sum().div(-batch);
    };
    const [artist, concept] = [lossOf('artist'), lossOf('concept')];
    const own = grad(
      artist.mul(ARTIST_WEIGHT).add(concept),
      names.map((name) => parameters[name]!),
    );
    const lr = t.input('lr', []);
    const emaRate = t.input('ema.rate', []);
    const moved = optimizer.update({
      gradients: each((_, i) => own[i]!),
      parameters,
      state: Object.fromEntries(
        Object.entries(optimizer.init(shapes)).map(([name, given]) => {
          const { shape, dtype } = stateType(given);
          return [name, t.state(`optimizer ${name}`, shape, dtype)];
        }),
      ),
      numbers: Object.fromEntries(
        Object.keys(optimizer.numbers).map((name) => [name, t.input(name, [])]),
      ),
      lr: each(() => lr),
      // Norms and biases keep their size.
      weightDecay: Object.fromEntries(
        names.filter((name) => shapes[name]!.length === 1).map((name) => [name, 0]),
      ),
    });
    const updates: Record<string, Tensor> = { ...moved.parameters };
    for (const [name, value] of Object.entries(moved.state)) updates[`optimizer ${name}`] = value;
    for (const name of names) {
      const before = t.state(averageOf(name), shapes[name]!);
      updates[averageOf(name)] = average.update(before, moved.parameters[name]!, emaRate);
    }
    return { outputs: { artist, concept }, updates };
  });
}

/** Random weights (He et al. 2015, arXiv:1502.01852); norms begin as they are, biases as zeros. */
export function firstWeights(config: ClassifierConfig, draws: Draws): Record<string, HostArray> {
  return Object.fromEntries(
    [...classifierShapes(config)].map(([name, shape]) => {
      const value = draws.normal(`first ${name}`, 0, shape);
      const inputs = shape.slice(1).reduce((n, d) => n * d, 1);
      const scale = shape.length > 1 ? Math.sqrt(2 / inputs) : 0;
      const start = shape.length === 1 && name.endsWith('.weight') ? 1 : 0;
      value.data.forEach((x, i) => (value.data[i] = start + scale * x));
      return [name, value as HostArray];
    }),
  );
}

/** The logarithm of the softmax over the last axis. */
function logSoftmax(x: Tensor): Tensor {
  const shifted = x.sub(x.max(-1, { keepDims: true }).stopGradient());
  return shifted.sub(shifted.exp().sum(-1, { keepDims: true }).log());
}
