/** @file An objective on given latents, draws and predictions, computed by the reference backend. */
import { noiseSchedule, stableDiffusionSchedule } from '@sdft/models';
import { type Models, tracedSchedule } from '@sdft/pipeline';
import { hostArray, type HostArray, reference, trace, type Tensor } from '@sdft/tensor';
import type { Needs, Objective } from '../../src/index.ts';

export type Prediction = 'epsilon' | 'v_prediction';

export interface Given {
  /** [B,C,h,w] */
  readonly shape: readonly [number, number, number, number];
  readonly latents: readonly number[];
  /** What the U-Net says. */
  readonly predicted: readonly number[];
  readonly timesteps: readonly number[];
  /** Other draws by their names. */
  readonly draws: Readonly<Record<string, readonly number[]>>;
  /** [B,1,h,w] */
  readonly weight?: readonly number[] | undefined;
  /** By default all samples. */
  readonly instances?: number | undefined;
  readonly prediction: Prediction;
  readonly zeroTerminalSnr?: boolean | undefined;
}

export interface Evaluated {
  readonly losses: HostArray;
  /** What the U-Net saw last. */
  readonly noisy: HostArray;
  /** Names of what was drawn. */
  readonly drawn: ReadonlySet<string>;
}

export async function evaluate(objective: Objective<Needs>, given: Given): Promise<Evaluated> {
  const { shape } = given;
  const [size, , height, width] = shape;
  const inputs: Record<string, HostArray> = {};
  const f32 = (values: readonly number[], as: readonly number[]) =>
    hostArray(Float32Array.from(values), as) as HostArray;
  const graph = trace((t) => {
    const input = (name: string, values: readonly number[], as: readonly number[]): Tensor => {
      inputs[name] = f32(values, as);
      return t.input(name, as);
    };
    const drawn = (name: string, as: readonly number[]): Tensor =>
      input(name, given.draws[name]!, as);
    const latents = input('latents', given.latents, shape);
    const predicted = input('predicted', given.predicted, shape);
    const weight = given.weight && input('weight', given.weight, [size, 1, height, width]);
    let noisy: Tensor | undefined;
    const schedule = noiseSchedule({
      ...stableDiffusionSchedule,
      predictionType: given.prediction,
      rescaleBetasZeroSnr: given.zeroTerminalSnr ?? false,
    });
    const models: Models = {
      kind: 'text-to-image',
      scaled: unused,
      unet: (sample) => {
        noisy = sample;
        return predicted;
      },
      encode: unused,
      decode: unused,
      schedule: tracedSchedule(t, schedule),
    };
    const batch = {
      ...{ size, instances: given.instances ?? size, latents },
      context: t.constant(0).broadcastTo([size, 1, 1]),
      ...(weight && { weight }),
      pixels: () => t.input('pixel_values', [size, 3, 8 * height, 8 * width]),
      progress: () => t.constant(0),
    };
    const losses = objective(models, batch, {
      normal: drawn,
      uniform: drawn,
      integers: (name, as) => {
        inputs[name] = hostArray(Int32Array.from(given.timesteps), as) as HostArray;
        return t.input(name, as, 'i32');
      },
    });
    return { outputs: { losses, noisy: noisy! } };
  });
  const executable = await reference.compile(graph);
  const { losses, noisy } = await executable.run(inputs);
  const ours = ['latents', 'predicted', 'weight'];
  const drawn = new Set(Object.keys(inputs).filter((name) => !ours.includes(name)));
  return { losses: losses!, noisy: noisy!, drawn };
}

const unused = (): never => {
  throw new Error('only the U-Net is asked here');
};
