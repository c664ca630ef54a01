/** @file Recorded runs of A1111's hypernetworks, and how far ours are from them. */
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
  type WeightInit,
} from '../../src/index.ts';
import { goldens, json, pathOf, reports, using } from '../support/fixtures.ts';

export interface Step {
  /** Of its micro-steps. */
  readonly losses: readonly number[];
  readonly lr: number;
  /** Before clipping, unless `clipped` says otherwise. */
  readonly gradNorm: number;
}

export interface Recorded {
  readonly name: string;
  readonly folder: string;
  readonly recipe: Pipeline;
  readonly steps: readonly Step[];
  /** Steps that were done before the recorded values. */
  readonly before: number;
  /** The norms are those after clipping, the largest of which this is. */
  readonly clipped?: number;
  /** Tensors whose gradient is zero in exact arithmetic, so that Adam makes steps of rounding noise. */
  readonly illConditioned: readonly string[];
  readonly tolerance: {
    readonly relative_error_of_update: number;
    readonly worst_tensor: number;
    readonly loss_abs: number;
    readonly grad_norm_relative?: number;
  };
}

const described = (
  folder: string,
  settings: HypernetworkOptions,
  { lr, steps }: { readonly lr: string; readonly steps: number },
): Pipeline =>
  pipeline()
    .model(goldens('tiny-sd'))
    .method(hypernetwork(settings))
    .optimizer(adamw({ lr }))
    .initFrom(`${folder}/initial.pt`)
    .steps(steps)
    .seed(1);

interface Golden {
  readonly name: 'hn_linear' | 'hn_tanh_ln';
  readonly settings: HypernetworkOptions;
  readonly lr: string;
  readonly clip?: string;
}

const golden = ({ name, settings, lr, clip }: Golden): Recorded => {
  const folder = goldens(`train/${name}`);
  const told = json<{
    micro_steps: { loss: number }[];
    optimizer_steps: { lr: number; grad_norm: number }[];
  }>(`${folder}/loss.json`);
  const noise = json<{
    suggested_tolerance: Recorded['tolerance'];
    ill_conditioned: readonly string[];
  }>(`${folder}/noise.json`);
  const recipe = described(folder, settings, { lr, steps: 5 });
  return {
    ...{ name, folder },
    recipe: clip === undefined ? recipe : recipe.clip(clip),
    steps: told.optimizer_steps.map(({ lr: rate, grad_norm: gradNorm }, k) => ({
      losses: [told.micro_steps[k]!.loss],
      ...{ lr: rate, gradNorm },
    })),
    before: 0,
    ...(clip !== undefined && { clipped: 0.05 }),
    illConditioned: noise.ill_conditioned,
    tolerance: noise.suggested_tolerance,
  };
};

/** `train_hypernetwork` itself, as fixtures/goldens has it. */
export const goldenRuns: readonly Recorded[] = [
  golden({
    name: 'hn_linear',
    settings: { layerStructure: '1, 2, 1', activation: 'linear' },
    lr: '0.005:4, 1e-3:8, 5e-4',
  }),
  golden({
    name: 'hn_tanh_ln',
    settings: { layerStructure: '1, 2, 1', activation: 'tanh', layerNorm: true },
    lr: '0.003:2, 0.001',
    clip: '0.05:5, 0.02',
  }),
];

/** What `tools/hypernetwork/make_fixtures.py` says of a run. */
interface Told {
  readonly settings: {
    readonly sizes: readonly number[];
    readonly structure: string;
    readonly activation: string;
    readonly init: WeightInit;
    readonly activate_output?: boolean;
    readonly norm?: boolean;
    readonly dropout?: string;
    readonly lr: string;
    readonly clip_mode?: 'norm' | 'value';
    readonly clip?: string;
    readonly steps: number;
    readonly accumulate?: number;
    readonly saved_after?: number;
  };
  readonly steps: readonly {
    readonly losses: readonly number[];
    readonly lr: number;
    readonly grad_norm: number;
  }[];
  readonly ill_conditioned: readonly string[];
  readonly tolerance: Recorded['tolerance'];
}

/** A run of A1111's modules in a loop like A1111's. */
export function ownRun(name: string): Recorded {
  const folder = pathOf(`fixtures/hypernetwork/${name}`);
  const { settings, steps, ill_conditioned: ill, tolerance } = json<Told>(`${folder}/run.json`);
  const recipe = described(
    folder,
    {
      layerStructure: settings.structure,
      activation: settings.activation,
      weightInit: settings.init,
      activateOutput: settings.activate_output,
      layerNorm: settings.norm,
      dropoutStructure: settings.dropout,
      sizes: settings.sizes,
      ...(settings.saved_after !== undefined && { optimizerState: true }),
    },
    settings,
  ).accumulate(settings.accumulate ?? 1);
  return {
    ...{ name, folder, tolerance },
    recipe: settings.clip === undefined ? recipe : recipe.clip(settings.clip, settings.clip_mode),
    steps: steps.map(({ losses, lr, grad_norm: gradNorm }) => ({ losses, lr, gradNorm })),
    before: settings.saved_after ?? 0,
    illConditioned: ill,
  };
}

/** Values by `12.0.linear.0.weight`. */
type Flat = ReadonlyMap<string, Float32Array>;

export const flat = (state: AdapterState): Flat =>
  new Map(
    [...state].flatMap(([key, parameters]) =>
      Object.entries(parameters).map(([name, { data }]) => [
        `${key}.${name}`,
        Float32Array.from(data),
      ]),
    ),
  );

const valuesIn = (path: string): Flat =>
  new Map([...openSafetensors(path).tensors].map(([name, w]) => [name, readFloat32(w).slice()]));

/** Root of the sum of squares over several tensors. */
export const size = (...tensors: readonly Float32Array[]): number =>
  Math.sqrt(tensors.reduce((sum, values) => sum + Math.hypot(...values) ** 2, 0));

export const difference = (a: Float32Array, b: Float32Array): Float32Array =>
  a.map((value, i) => value - b[i]!);

/** Trains on the record; losses, rates, norms and every tensor must be A1111's. */
export async function expectTrajectory(recorded: Recorded, backend: Backend): Promise<void> {
  const { recipe, folder, steps, before, illConditioned, tolerance, clipped } = recorded;
  const build = recipe.build({ replay: `${folder}/replay.safetensors`, backend });
  await using(build, async (run) => {
    expect(run.step).toBe(before);
    const from = flat((await run.trainables())[0]!);
    const said = await reports(run);
    expect(said.map(({ step }) => step)).toEqual(
      Array.from({ length: steps.length - before }, (_, i) => before + i + 1),
    );
    said.forEach(({ losses, lr, gradNorm }, i) => {
      const expected = steps[before + i]!;
      expect(losses).toHaveLength(expected.losses.length);
      losses.forEach((loss, k) =>
        expect(Math.abs(loss - expected.losses[k]!)).toBeLessThanOrEqual(tolerance.loss_abs),
      );
      expect(lr).toBe(expected.lr);
      const norm = clipped === undefined ? gradNorm : Math.min(gradNorm, clipped);
      expect(Math.abs(norm / expected.gradNorm - 1)).toBeLessThanOrEqual(
        tolerance.grad_norm_relative ?? 1e-4,
      );
    });
    const to = flat((await run.trainables())[0]!);
    const result = valuesIn(`${folder}/result.safetensors`);
    expect([...to.keys()].sort()).toEqual([...result.keys()].sort());
    const sound = [...result.keys()].filter((name) => !illConditioned.includes(name));
    const errors = sound.map((name) => difference(to.get(name)!, result.get(name)!));
    const moves = sound.map((name) => difference(result.get(name)!, from.get(name)!));
    expect(size(...errors) / size(...moves)).toBeLessThanOrEqual(
      tolerance.relative_error_of_update,
    );
    errors.forEach((error, i) =>
      expect(size(error) / size(moves[i]!), sound[i]).toBeLessThanOrEqual(tolerance.worst_tensor),
    );
    // Of the others only the size means anything: Adam makes at most steps of the rate, in whatever direction.
    const most = said.reduce((sum, { lr }) => sum + lr, 0);
    for (const name of illConditioned)
      for (const moved of difference(to.get(name)!, from.get(name)!))
        expect(Math.abs(moved), name).toBeLessThanOrEqual(1.01 * most);
  });
}
