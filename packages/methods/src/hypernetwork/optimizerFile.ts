/** @file A1111's optimizer state beside a hypernetwork, `NAME.pt.optim` (`hypernetwork.py`, `Hypernetwork.save` and `load`; PyTorch `Optimizer.state_dict`). */
import { Float, isWeight, type PythonValue, readFloat32, Tuple, weightOf } from '@sdft/models';
import { hashFile, openTorch, writeTorch } from '@sdft/models/node';
import type { AboutFile, AdapterState, Moments } from '@sdft/pipeline';
import { hostArray, type HostArray, UserError } from '@sdft/tensor';
import { fileExists } from '../node/fileExists.ts';
import type { Hypernetwork } from './readHypernetwork.ts';
import { moduleShapes, partsOf } from './structure.ts';

const beside = (path: string): string => `${path}.optim`;

/** One parameter of all modules, as PyTorch numbers them: width by width, keys before values, in the order of the parts. */
interface Place {
  readonly key: string;
  readonly name: string;
}

/**
 * Writes `NAME.pt.optim`; nothing where the run's optimizer is not AdamW. One that lies there already belongs to a file that is gone.
 *
 * @param path of the hypernetwork, which is written already
 */
export async function writeOptimizerFile(
  path: string,
  places: readonly Place[],
  { moments, recipe }: AboutFile,
): Promise<void> {
  const found = await moments?.();
  if (!found) return;
  const settings = (recipe?.['optimizer'] ?? {}) as Readonly<Record<string, number | undefined>>;
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = settings;
  const state = new Map<PythonValue, PythonValue>(
    places.map(({ key, name }, i) => [
      i,
      new Map<PythonValue, PythonValue>([
        ['step', tensorOf(Float32Array.of(found.step), [])],
        ['exp_avg', momentOf(found.mean, key, name)],
        ['exp_avg_sq', momentOf(found.square, key, name)],
      ]),
    ]),
  );
  const group = new Map<PythonValue, PythonValue>([
    ['lr', new Float(found.lr)],
    ['betas', Tuple.of(new Float(beta1), new Float(beta2))],
    ['eps', new Float(epsilon)],
    ['weight_decay', new Float(weightDecay)],
    ['amsgrad', false],
    ['maximize', false],
    ['foreach', null],
    ['capturable', false],
    ['differentiable', false],
    ['fused', null],
    ['params', places.map((_, i) => i)],
  ]);
  await writeTorch(
    beside(path),
    new Map<PythonValue, PythonValue>([
      ['optimizer_name', 'AdamW'],
      ['hash', (await hashFile(path)).short],
      [
        'optimizer_state_dict',
        new Map<PythonValue, PythonValue>([
          ['state', state],
          ['param_groups', [group]],
        ]),
      ],
    ]),
    { force: true },
  );
}

/**
 * AdamW's moments beside a hypernetwork; undefined where there are none.
 *
 * @throws UserError where they belong to another file, or to another optimizer
 */
export async function readOptimizerFile(
  path: string,
  hypernetwork: Hypernetwork,
): Promise<Moments | undefined> {
  const file = beside(path);
  if (!fileExists(file)) return undefined;
  const refuse = (why: string): UserError =>
    new UserError(`${file}: ${why}; to start with a fresh optimizer, say optimizerState: false`);
  const { value } = await openTorch(file);
  const entry = (from: PythonValue | undefined, name: PythonValue): PythonValue | undefined =>
    from instanceof Map ? from.get(name) : undefined;
  const { short } = await hashFile(path);
  const hash = entry(value, 'hash');
  if (hash !== short)
    throw refuse(
      `belongs to a file with the hash ${typeof hash === 'string' ? hash : 'of nothing'}, ${path} has ${short} (of the copies that A1111 writes every few hundred steps, none fits)`,
    );
  const name = entry(value, 'optimizer_name');
  if (name !== 'AdamW')
    throw refuse(`is the state of ${typeof name === 'string' ? name : 'no optimizer'}, not AdamW`);
  const states = entry(entry(value, 'optimizer_state_dict'), 'state');
  const places = placesIn(hypernetwork);
  const [mean, square] = ['exp_avg', 'exp_avg_sq'].map((moment) => {
    const moments = new Map<string, Record<string, HostArray>>();
    places.forEach(({ key, name: parameter, shape }, i) => {
      const state = entry(states, i);
      const weight = entry(state, moment);
      // PyTorch keeps nothing of a parameter that never had a gradient.
      if (state !== undefined && !(isWeight(weight) && String(weight.shape) === String(shape)))
        throw refuse(`${moment} of parameter ${i} (${key}.${parameter}) does not fit`);
      const data = isWeight(weight)
        ? Float32Array.from(readFloat32(weight))
        : new Float32Array(shape.reduce((n, d) => n * d, 1));
      const own = moments.get(key) ?? {};
      moments.set(key, { ...own, [parameter]: hostArray(data, shape) as HostArray });
    });
    return moments;
  });
  const counts = places.flatMap((_, i) => stepIn(entry(entry(states, i), 'step')) ?? []);
  const [step = 0] = counts;
  if (counts.some((count) => count !== step) || step !== hypernetwork.step)
    throw refuse(
      `counts ${step} steps, the hypernetwork ${hypernetwork.step}: it was trained without this optimizer before`,
    );
  return { step, mean: mean!, square: square! };
}

function placesIn({ structure, parameters }: Hypernetwork) {
  return [...parameters.keys()].flatMap((key) => {
    const parts = partsOf(structure, Number(key.split('.')[0]));
    return Object.entries(moduleShapes(parts)).map(([name, shape]) => ({ key, name, shape }));
  });
}

const stepIn = (value: PythonValue | undefined): number | undefined =>
  typeof value === 'number' ? value : isWeight(value) ? readFloat32(value)[0] : undefined;

const tensorOf = (data: Float32Array, shape: readonly number[]) =>
  weightOf('f32', shape, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));

const momentOf = (state: AdapterState, key: string, name: string) => {
  const { data, shape } = state.get(key)![name]!;
  return tensorOf(Float32Array.from(data), shape);
};
