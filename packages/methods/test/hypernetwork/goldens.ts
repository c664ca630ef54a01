/** @file Recorded runs of A1111's hypernetwork trainer, and how far ours are from them. */
import { readFloat32 } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { expect } from 'vitest';
import {
  adamw,
  type AdapterState,
  type Backend,
  hypernetwork,
  type HypernetworkOptions,
  pipeline,
  type Pipeline,
} from '../../src/index.ts';
import { goldens, json, reports, using } from '../support/fixtures.ts';

export interface Golden {
  readonly name: 'hn_linear' | 'hn_tanh_ln';
  readonly settings: HypernetworkOptions;
  readonly lr: string;
  readonly clip?: string;
}

export const cases: readonly Golden[] = [
  {
    name: 'hn_linear',
    settings: { layerStructure: '1, 2, 1', activation: 'linear' },
    lr: '0.005:4, 1e-3:8, 5e-4',
  },
  {
    name: 'hn_tanh_ln',
    settings: { layerStructure: '1, 2, 1', activation: 'tanh', layerNorm: true },
    lr: '0.003:2, 0.001',
    clip: '0.05:5, 0.02',
  },
];

export const recipeOf = ({ name, settings, lr, clip }: Golden): Pipeline => {
  const stem = pipeline()
    .model(goldens('tiny-sd'))
    .method(hypernetwork(settings))
    .optimizer(adamw({ lr }))
    .initFrom(goldens(`train/${name}/initial.pt`))
    .steps(5)
    .seed(1);
  return clip === undefined ? stem : stem.clip(clip);
};

/** Values by `12.0.linear.0.weight`. */
export type Flat = ReadonlyMap<string, Float32Array>;

export const flat = (state: AdapterState): Flat =>
  new Map(
    [...state].flatMap(([key, parameters]) =>
      Object.entries(parameters).map(([name, { data }]) => [
        `${key}.${name}`,
        Float32Array.from(data),
      ]),
    ),
  );

export const valuesIn = (path: string): Flat =>
  new Map([...openSafetensors(path).tensors].map(([name, w]) => [name, readFloat32(w).slice()]));

/** Root of the sum of squares over several tensors. */
export const size = (tensors: Iterable<Float32Array>): number =>
  Math.sqrt([...tensors].reduce((sum, values) => sum + Math.hypot(...values) ** 2, 0));

export const difference = (a: Float32Array, b: Float32Array): Float32Array =>
  a.map((value, i) => value - b[i]!);

interface Noise {
  readonly suggested_tolerance: {
    readonly relative_error_of_update: number;
    readonly worst_tensor: number;
    readonly loss_abs: number;
  };
  /** Tensors whose gradient is zero in exact arithmetic, so that Adam makes steps of rounding noise; and how far they went. */
  readonly ill_conditioned: readonly string[];
  readonly ill_conditioned_detail: Readonly<Record<string, { readonly u: number }>>;
}

/** Trains a case on its record; losses, rates, norms and every tensor must be A1111's. */
export async function expectTrajectory(one: Golden, backend: Backend): Promise<void> {
  const folder = `train/${one.name}`;
  const noise = json<Noise>(goldens(`${folder}/noise.json`));
  const told = json<{
    micro_steps: { loss: number }[];
    optimizer_steps: { lr: number; grad_norm: number }[];
  }>(goldens(`${folder}/loss.json`));
  const { suggested_tolerance: tolerance } = noise;
  const build = recipeOf(one).build({ replay: goldens(`${folder}/replay.safetensors`), backend });
  await using(build, async (run) => {
    const from = flat((await run.trainables())[0]!);
    expect(new Map([...from].sort())).toEqual(
      new Map([...valuesIn(goldens(`${folder}/initial.safetensors`))].sort()),
    );
    const steps = await reports(run);
    expect(steps).toHaveLength(5);
    steps.forEach(({ loss, lr, gradNorm }, k) => {
      const { lr: rate, grad_norm: norm } = told.optimizer_steps[k]!;
      expect(Math.abs(loss - told.micro_steps[k]!.loss)).toBeLessThanOrEqual(tolerance.loss_abs);
      expect(lr).toBe(rate);
      // The goldens tell the norm after clipping.
      const clipped = one.clip === undefined ? gradNorm : Math.min(gradNorm, 0.05);
      expect(clipped / norm).toBeCloseTo(1, 4);
    });
    const to = flat((await run.trainables())[0]!);
    const result = valuesIn(goldens(`${folder}/result.safetensors`));
    expect([...to.keys()].sort()).toEqual([...result.keys()].sort());
    const sound = [...result.keys()].filter((name) => !noise.ill_conditioned.includes(name));
    const errors = sound.map((name) => difference(to.get(name)!, result.get(name)!));
    const moves = sound.map((name) => difference(result.get(name)!, from.get(name)!));
    expect(size(errors) / size(moves)).toBeLessThanOrEqual(tolerance.relative_error_of_update);
    errors.forEach((error, i) =>
      expect(size([error]) / size([moves[i]!]), sound[i]).toBeLessThanOrEqual(
        tolerance.worst_tensor,
      ),
    );
    // Of these only the size means anything: Adam makes at most steps of the rate, in whatever direction.
    for (const name of noise.ill_conditioned) {
      const moved = difference(to.get(name)!, from.get(name)!);
      const most = steps.reduce((sum, { lr }) => sum + lr, 0);
      expect(Math.max(...moved.map(Math.abs)), name).toBeLessThanOrEqual(most);
    }
  });
}
